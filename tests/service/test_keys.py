from __future__ import annotations

from pathlib import Path

import pytest

from service.errors import SettingError, Unauthorized
from service.keys import Keys, read_keys, split_keys

KEYS = Keys(["first-key", "second-key"])


def test_without_keys_everybody_may_ask() -> None:
    Keys([]).check({})


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
def test_a_known_key_may_ask(headers: dict[str, str]) -> None:
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
def test_anybody_else_is_told_how_and_nothing_more(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthorized, match="asks for a key") as refused:
        KEYS.check(headers)
    assert refused.value.headers == {"WWW-Authenticate": "Bearer"}
    assert "first" not in str(refused.value)


def test_a_passphrase_is_one_key() -> None:
    assert split_keys("correct horse battery staple, another") == [
        "correct horse battery staple",
        "another",
    ]
    Keys(["correct horse"]).check({"authorization": "Bearer correct horse"})


def test_a_file_holds_one_key_a_line(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes(b"one\r\n\n  two words  \n")
    assert read_keys(file) == ["one", "two words"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "holds no key, so everybody could ask"),
        (b"\n \n", "holds no key, so everybody could ask"),
        (b"# old-key\n", "holds no key, so everybody could ask"),
        ("schlüssel".encode(), "other characters than ASCII"),
        (b"\xff\xfe", "it is no text"),
        (b"a\0b", "a control character"),
        (None, "No such file"),
    ],
)
def test_a_file_that_would_open_the_door_is_refused_and_not_quoted(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingError, match=f"^GRAFT_API_KEYS_FILE: .*{reason}") as refused:
        read_keys(file)
    assert "schl" not in str(refused.value)
