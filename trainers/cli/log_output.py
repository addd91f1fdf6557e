"""Sends the log to stderr, as plain or JSON lines, or to the handlers of the calling program."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trainers.progress import json_line, log

LIBRARY_LOGGERS = ("py.warnings", "tensorflow", "absl", "keras", "tf2onnx", "bentoml", "sklearn")
"""Loggers of Python's warnings and of libraries that would write to stderr in other formats."""


class _StderrHandler(logging.Handler):
    """Writes each message to the current `sys.stderr`, which may have been replaced since start-up.

    A progress bar, for example, replaces it while the bar is shown.
    """

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        content = {"level": record.levelname.lower(), "message": record.getMessage()}
        return json_line("log", content)


def log_line(message: str) -> str:
    """Format an error message like a line of the log. Unlike `log.error`, take no lock.

    The thread that receives signals calls this function. It must not wait for other threads.
    """
    record = logging.LogRecord(log.name, logging.ERROR, "", 0, message, None, None)
    return log.handlers[0].format(record)


def _log_uncaught(*error: Any) -> None:
    log.critical("%s", "".join(traceback.format_exception(*error)).rstrip())


@contextmanager
def log_for_caller(is_verbose: bool) -> Iterator[None]:
    """Inside the `with` block, log to stderr if `is_verbose` is set.

    This is for functions that other Python programs call. Handlers that such a program has set up
    always receive the messages.
    """
    silence, root = logging.NullHandler(), logging.getLogger()
    root.addHandler(silence)  # without a handler there, absl would add one that writes to stderr
    stderr, level = _StderrHandler(), log.level
    if is_verbose:
        log.addHandler(stderr)
        log.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(silence)
        log.removeHandler(stderr)
        log.setLevel(level)


def set_up_logging(is_quiet: bool, is_json: bool = False) -> None:
    """Send the log of this process to stderr, one plain or JSON line per message.

    Only results are written to stdout.

    Args:
        is_quiet: whether to log only warnings and errors.
        is_json: whether to write JSON lines.
    """
    handler = _StderrHandler()
    handler.setFormatter(_JsonFormatter() if is_json else logging.Formatter("%(message)s"))
    log.handlers = [handler]
    log.propagate = False
    if is_json:
        sys.excepthook = _log_uncaught
    logging.captureWarnings(True)
    for name in LIBRARY_LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
    log.setLevel(logging.WARNING if is_quiet else logging.INFO)
