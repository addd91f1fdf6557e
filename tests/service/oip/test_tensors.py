from __future__ import annotations

from typing import Any

import pytest

from service.errors import MalformedRequest
from service.oip.tensors import (
    deserialise_bytes_tensor,
    flatten,
    from_base64,
    from_integers,
    serialise_bytes_tensor,
)


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
def test_nested_lists_are_flattened(values: list[Any], expected: list[Any]) -> None:
    assert flatten(values) == expected


def test_base64_is_decoded() -> None:
    assert [*from_base64(["AAEC", ""])] == [b"\0\1\2", b""]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("data:image/png;base64,AAEC", "it is a data URL: send only the text after its comma"),
        ("AA\nEC", "it contains spaces or line breaks"),
        ("?", "padding"),
        ("????", "in JSON, encode the bytes of each picture"),
        (7, "in JSON, encode the bytes of each picture"),
    ],
)
def test_text_that_is_not_strict_base64_is_explained(text: Any, reason: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        [*from_base64([text])]
    assert reason in str(refused.value)


@pytest.mark.parametrize("text", ["AA=C", "A", "\u00fc", "AA EC", 7, None, ["AAEC"], True, {}])
def test_an_element_that_is_not_base64_is_named_by_its_index(text: Any) -> None:
    with pytest.raises(MalformedRequest, match=r"`images\[1\]` is not base64"):
        [*from_base64(["AAEC", text])]


def test_integers_become_bytes() -> None:
    assert from_integers([0, 1, 255]) == b"\0\1\xff"


@pytest.mark.parametrize(
    "value", [-1, 256, 10**400, 1.0, 0.5, float("nan"), True, None, "1", [1], {}]
)
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(MalformedRequest, match="whole numbers from 0 to 255"):
        from_integers([1, value])


def test_elements_are_joined_and_split() -> None:
    raw = serialise_bytes_tensor(["ab", "", "\u00fc"])
    assert raw == b"\2\0\0\0ab\0\0\0\0\2\0\0\0\xc3\xbc"
    assert [*deserialise_bytes_tensor(memoryview(raw), 3)] == [b"ab", b"", b"\xc3\xbc"]


@pytest.mark.parametrize("length", range(13))
def test_a_tensor_cut_short_is_refused(length: int) -> None:
    raw = serialise_bytes_tensor(["ab", "xyz"])
    assert len(raw) == 13
    with pytest.raises(MalformedRequest, match=rf"ends within `images\[{int(length >= 6)}\]`"):
        [*deserialise_bytes_tensor(memoryview(raw[:length]), 2)]


def test_a_wrong_length_is_refused() -> None:
    with pytest.raises(MalformedRequest, match=r"ends within `images\[0\]`"):
        [*deserialise_bytes_tensor(memoryview(b"\xff\xff\xff\xffab"), 1)]


def test_bytes_after_the_last_element_are_refused() -> None:
    with pytest.raises(MalformedRequest, match="3,999,996 bytes of binary data after"):
        [*deserialise_bytes_tensor(memoryview(bytes(4_000_000)), 1)]
