from __future__ import annotations

from pathlib import Path

import pytest

from service.cli.arguments import CommandParser
from service.errors import UsageError
from trainers.cli.data_option import add_data_option


def parse(*arguments: str) -> Path:
    parser = CommandParser()
    add_data_option(parser)
    data: Path = parser.parse_args(arguments).data
    return data


def test_the_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert parse("--data=~/pets") == Path("/home/me/pets")
    assert parse("--data", "pets") == Path("pets")


@pytest.mark.parametrize("arguments", [(), ("--data", "")])
def test_a_folder_must_be_given(arguments: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="--data"):
        parse(*arguments)
