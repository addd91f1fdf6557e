from __future__ import annotations

from typing import Any

import pytest

from service.errors import MalformedRequest
from service.oip.tensors import flat, from_base64, from_numbers, joined, split


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([1, 2], [1, 2]),
        ([[1], [2, 3]], [1, 2, 3]),
        ([[[1, 2]], [[3, 4]]], [1, 2, 3, 4]),
        (["ab", "cd"], ["ab", "cd"]),
        ([[], []], []),
        ([["ab"], "cd"], [["ab"], "cd"]),
    ],
)
def test_nested_lists_become_one(values: list[Any], expected: list[Any]) -> None:
    assert flat(values) == expected


def test_base64_is_decoded() -> None:
    assert [*from_base64(["AAEC", ""])] == [b"\0\1\2", b""]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("data:image/png;base64,AAEC", "it is a data URL: send only what follows its comma"),
        ("AA\nEC", "it has blanks or line ends"),
        ("?", "padding"),
        ("????", "in JSON, BYTES are sent as base64"),
        (7, "in JSON, BYTES are sent as base64"),
    ],
)
def test_habits_of_base64_are_told(text: Any, told: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        [*from_base64([text])]
    assert told in str(refused.value)


@pytest.mark.parametrize("text", ["AA=C", "A", "\u00fc", "AA EC", 7, None, ["AAEC"], True, {}])
def test_what_is_no_base64_is_refused_by_index(text: Any) -> None:
    with pytest.raises(MalformedRequest, match="picture 1 of `images` is no base64 text"):
        [*from_base64(["AAEC", text])]


def test_whole_numbers_become_bytes() -> None:
    assert from_numbers([0, 1, 255]) == b"\0\1\xff"


@pytest.mark.parametrize(
    "value", [-1, 256, 10**400, 1.0, 0.5, float("nan"), True, None, "1", [1], {}]
)
def test_what_is_no_level_is_refused(value: Any) -> None:
    with pytest.raises(MalformedRequest, match="whole numbers from 0 to 255"):
        from_numbers([1, value])


def test_elements_are_split_and_joined() -> None:
    raw = joined(["ab", "", "\u00fc"])
    assert raw == b"\2\0\0\0ab\0\0\0\0\2\0\0\0\xc3\xbc"
    assert [*split(memoryview(raw), 3)] == [b"ab", b"", b"\xc3\xbc"]


@pytest.mark.parametrize("kept", range(13))
def test_a_cut_tensor_is_refused(kept: int) -> None:
    raw = joined(["ab", "xyz"])
    assert len(raw) == 13
    with pytest.raises(MalformedRequest, match=rf"ends within picture {int(kept >= 6)} of 2"):
        [*split(memoryview(raw[:kept]), 2)]


def test_a_length_that_lies_is_refused() -> None:
    with pytest.raises(MalformedRequest, match="ends within picture 0 of 1"):
        [*split(memoryview(b"\xff\xff\xff\xffab"), 1)]


def test_more_than_the_shape_says_is_refused_however_much() -> None:
    with pytest.raises(MalformedRequest, match="3,999,996 bytes of binary data are left after"):
        [*split(memoryview(bytes(4_000_000)), 1)]
