from __future__ import annotations

from pathlib import Path

import pytest

from service.api_keys import ApiKeys, read_keys, split_keys
from service.errors import SettingError, Unauthorized

KEYS = ApiKeys(["first-key", "second-key"])


def test_without_keys_every_request_is_accepted() -> None:
    ApiKeys([]).check({})


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer first-key"},
        {"authorization": "bearer first-key"},
        {"x-api-key": "first-key"},
        {"x-api-key": "second-key"},
        {"authorization": "Bearer the-proxy's", "x-api-key": "second-key"},
        {"authorization": "Basic cHJveHk6", "x-api-key": "second-key"},
        {"authorization": "Bearer first-key", "x-api-key": "the-proxy's"},
    ],
)
def test_a_request_with_an_accepted_key_is_accepted(headers: dict[str, str]) -> None:
    KEYS.check(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer first-key2"},
        {"authorization": "Basic first-key"},
        {"authorization": "first-key"},
        {"x-api-key": ""},
        {"x-api-key": "FIRST-KEY"},
        {"x-api-key": "first-key,second-key"},
        {"x-api-key": "\ud800"},
        {"authorization": "Bearer the-proxy's", "x-api-key": "another"},
        {"authorization": "Bearer ", "x-api-key": " "},
    ],
)
def test_other_requests_are_refused_without_quoting_a_key(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthorized, match="requires an API key") as refused:
        KEYS.check(headers)
    assert refused.value.headers == {"WWW-Authenticate": "Bearer"}
    assert "first" not in str(refused.value)


def test_a_key_may_contain_spaces() -> None:
    assert split_keys("correct horse battery staple, another") == [
        "correct horse battery staple",
        "another",
    ]
    ApiKeys(["correct horse"]).check({"authorization": "Bearer correct horse"})


def test_a_file_holds_one_key_per_line(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes(b"one\r\n\n  two words  \n")
    assert read_keys(file) == ["one", "two words"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "contains no key; add a key"),
        (b"\n \n", "contains no key; add a key"),
        (b"# old-key\n", "contains no key; add a key"),
        ("schlüssel".encode(), "a character outside ASCII"),
        (b"\xff\xfe", "it is not UTF-8"),
        (b"a\0b", "a control character"),
        (None, "No such file"),
    ],
)
def test_an_unusable_file_is_refused_and_not_quoted(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingError, match=f"^GRAFT_API_KEYS_FILE: .*{reason}") as refused:
        read_keys(file)
    assert "schl" not in str(refused.value)
