"""End a command at once on Ctrl-C or SIGTERM, and clean up.

Python runs signal handlers in the main thread only, between two bytecode instructions: a call of
TensorFlow or ONNX Runtime, or a pool that finishes its work, would delay them by 10 to 20 s. So a
thread of our own receives signals, cleans up and ends the process. Nothing else has to be unwound:
bundles, tables, checkpoints and caches appear complete or not at all.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

INTERRUPTED, TERMINATED = 130, 143
"""Exit codes as shells count them: 128 plus the number of the signal."""
_MAX_CLEANUP_SECONDS: Final = 1.5
"""The process ends after this time, even if a slow file system delays the clean-up."""
_SHOW_CURSOR: Final = b"\r\x1b[2K\x1b[?25h"
"""Erases the line of a progress bar, which hides the cursor while it is shown."""

_cleanups: list[Callable[[], object]] = []


@contextmanager
def cleanup_on_signal(cleanup: Callable[[], object]) -> Iterator[None]:
    """Call `cleanup` if a signal ends the process while the block runs.

    `cleanup` runs in another thread, at any point of the block, so it must not take locks.
    """
    _cleanups.append(cleanup)
    try:
        yield
    finally:
        _cleanups.remove(cleanup)


@contextmanager
def exit_on_signals(
    codes: Mapping[signal.Signals, int], last_words: Callable[[], str]
) -> Iterator[None]:
    """Let signals end the process at once while the block runs; for the main thread only.

    Args:
        codes: exit code by signal. Signals that are ignored stay ignored, as shells set them for
            commands in the background.
        last_words: returns a line for stderr.
    """
    sender, receiver = socket.socketpair()
    sender.setblocking(False)
    numbers = [number for number in codes if signal.getsignal(number) is not signal.SIG_IGN]
    old_handlers = {number: signal.signal(number, _block_forever) for number in numbers}
    old_wakeup_fd = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    stderr = os.dup(2)  # a copy, because descriptor 2 leads to /dev/null while TensorFlow loads
    listener = threading.Thread(
        target=_listen, args=(receiver, codes, last_words, stderr), daemon=True
    )
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(old_wakeup_fd)
        for number, handler in old_handlers.items():
            signal.signal(number, handler)
        sender.close()  # ends the listener
        listener.join()
        receiver.close()
        os.close(stderr)


def _block_forever(*_: object) -> None:
    """Stop the main thread: it must not fail over files that the clean-up removes."""
    threading.Event().wait()


def _listen(
    receiver: socket.socket,
    codes: Mapping[signal.Signals, int],
    last_words: Callable[[], str],
    stderr: int,
) -> None:
    while received := receiver.recv(1):
        for number, code in codes.items():
            if number == received[0]:
                _exit(code, last_words, stderr)


def _exit(code: int, last_words: Callable[[], str], stderr: int) -> None:
    limit = threading.Timer(_MAX_CLEANUP_SECONDS, os._exit, (code,))
    limit.daemon = True
    limit.start()
    words = b""
    with suppress(Exception):
        words = f"{last_words()}\n".encode()
    for cleanup in reversed(_cleanups):
        with suppress(Exception):
            cleanup()
    with suppress(OSError):  # not through sys.stderr, whose lock the main thread may hold
        os.write(stderr, (_SHOW_CURSOR if os.isatty(stderr) else b"") + words)
    with suppress(Exception):
        sys.stdout.flush()
    os._exit(code)
