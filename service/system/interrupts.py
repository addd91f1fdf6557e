"""Clean up and end a command at once on Ctrl-C or SIGTERM.

Python runs signal handlers only in the main thread, between two bytecode instructions. A call of
TensorFlow or ONNX Runtime, or a thread pool that finishes its work, can delay a handler for long.
So a separate thread receives the signals, cleans up and ends the process. The main thread does not
have to finish anything: bundles, tables, checkpoints and caches appear complete or not at all.
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
"""Exit codes after SIGINT and SIGTERM, as shells define them: 128 plus the signal number."""
_MAX_CLEANUP_SECONDS: Final = 1.5
"""The process ends after this time, even if the clean-up is delayed by a slow file system."""
_SHOW_CURSOR: Final = b"\r\x1b[2K\x1b[?25h"
"""Erases the line of a progress bar, and shows the cursor, which the bar has hidden."""

_cleanups: list[Callable[[], object]] = []


@contextmanager
def cleanup_on_signal(cleanup: Callable[[], object]) -> Iterator[None]:
    """Call `cleanup` if `exit_on_signals` ends the process during the `with` block.

    `cleanup` runs in another thread, at any point of the block, so it must not take locks.
    """
    _cleanups.append(cleanup)
    try:
        yield
    finally:
        _cleanups.remove(cleanup)


@contextmanager
def exit_on_signals(
    codes: Mapping[signal.Signals, int], message: Callable[[], str]
) -> Iterator[None]:
    """End the process at once if a signal arrives during the `with` block.

    Use this only in the main thread.

    Args:
        codes: the signals, with an exit code for each. A signal that the process already ignores
            stays ignored: shells make commands in the background ignore SIGINT.
        message: a function that returns the line to print on stderr at the end.
    """
    sender, receiver = socket.socketpair()
    sender.setblocking(False)
    numbers = [number for number in codes if signal.getsignal(number) is not signal.SIG_IGN]
    old_handlers = {number: signal.signal(number, _block_forever) for number in numbers}
    old_wakeup_fd = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    stderr = os.dup(2)  # a copy: while TensorFlow loads, descriptor 2 leads to /dev/null
    listener = threading.Thread(
        target=_listen, args=(receiver, codes, message, stderr), daemon=True
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
    """Block the main thread, which would otherwise fail when the clean-up removes its files."""
    threading.Event().wait()


def _listen(
    receiver: socket.socket,
    codes: Mapping[signal.Signals, int],
    message: Callable[[], str],
    stderr: int,
) -> None:
    while received := receiver.recv(1):
        for number, code in codes.items():
            if number == received[0]:
                _exit(code, message, stderr)


def _exit(code: int, message: Callable[[], str], stderr: int) -> None:
    limit = threading.Timer(_MAX_CLEANUP_SECONDS, os._exit, (code,))
    limit.daemon = True
    limit.start()
    line = b""
    with suppress(Exception):
        line = f"{message()}\n".encode()
    for cleanup in reversed(_cleanups):
        with suppress(Exception):
            cleanup()
    with suppress(OSError):  # not through sys.stderr, whose lock the main thread may hold
        os.write(stderr, (_SHOW_CURSOR if os.isatty(stderr) else b"") + line)
    with suppress(Exception):
        sys.stdout.flush()
    os._exit(code)
