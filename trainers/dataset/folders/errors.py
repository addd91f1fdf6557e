"""The error of all code that reads datasets."""

from __future__ import annotations

from service.errors import GraftError


class DataError(GraftError):
    """The folder cannot be trained on; the message says what is wrong, where, and what to do."""
