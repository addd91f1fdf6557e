"""The error that all code that reads a dataset raises."""

from __future__ import annotations

from service.errors import GraftError


class DataError(GraftError):
    """The folder cannot be trained on; the message says what is wrong, where, and what to do."""
