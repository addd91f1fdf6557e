from __future__ import annotations

import errno
from pathlib import Path

import pytest

from service.cli.os_errors import explain
from service.errors import UsageError


def test_a_full_disk_is_explained_without_a_file() -> None:
    message = explain(OSError(errno.ENOSPC, "No space left on device"))
    assert message.startswith("no space left on device; free some disk space, or use a folder")


def test_the_file_of_an_error_is_named(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        tmp_path.write_text("")
    assert explain(caught.value) == f"{tmp_path}: is a directory; name a file, not a folder"


@pytest.mark.parametrize("error", [UsageError("say what"), OSError("say what")])
def test_other_messages_are_kept(error: Exception) -> None:
    assert explain(error) == "say what"


def test_a_reason_without_a_remedy_stands_alone() -> None:
    assert explain(OSError(errno.EIO, "Input/output error", "x.png")) == (
        "x.png: input/output error"
    )
