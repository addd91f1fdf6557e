from __future__ import annotations

import errno
from pathlib import Path

import pytest

from service.cli.os_errors import explain_error, is_fixable
from service.errors import UsageError


def test_a_full_disk_is_explained_without_a_file() -> None:
    message = explain_error(OSError(errno.ENOSPC, "No space left on device"))
    assert message.startswith("no space left on device; free some space on the disk")


def test_the_file_of_an_error_is_named(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        tmp_path.write_text("")
    assert explain_error(caught.value) == f"{tmp_path}: is a directory; name a file, not a folder"


@pytest.mark.parametrize("error", [UsageError("say what"), OSError("say what")])
def test_other_messages_are_kept(error: Exception) -> None:
    assert explain_error(error) == "say what"


def test_a_reason_without_a_remedy_stands_alone() -> None:
    assert explain_error(OSError(errno.EIO, "Input/output error", "x.png")) == (
        "x.png: input/output error"
    )


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, True), (errno.EACCES, True), (errno.EIO, False), (errno.EBADF, False)],
)
def test_a_full_disk_is_fixable_and_a_broken_one_is_not(number: int, expected: bool) -> None:
    assert is_fixable(OSError(number, "")) is expected
