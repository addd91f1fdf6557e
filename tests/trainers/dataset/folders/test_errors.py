from __future__ import annotations

from service.errors import GraftError
from trainers.dataset.folders.errors import DataError


def test_commands_report_a_data_error_like_every_error_of_graft() -> None:
    assert issubclass(DataError, GraftError)
    assert str(DataError("no folder data; name one with --data")).startswith("no folder data")
