from __future__ import annotations

import errno

import pytest

from trainers.cli.exit_codes import is_fixable


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, True), (errno.EACCES, True), (errno.EIO, False), (errno.EBADF, False)],
)
def test_a_full_disk_is_fixable_and_a_broken_one_is_not(number: int, expected: bool) -> None:
    assert is_fixable(OSError(number, "")) is expected
