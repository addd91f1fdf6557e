"""Ctrl-C and SIGTERM end a command at once, wherever it is, and leave nothing half done.

Python hands a signal to the main thread alone, between two of its own steps. A call of TensorFlow
or ONNX Runtime keeps it waiting, and so do pools that finish what they began: the prompt stayed
away for 10 to 20 s. So a thread of our own hears signals, cleans up and ends the process. Nothing
else has to be unwound: bundles, tables, checkpoints and caches appear whole or not at all.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

INTERRUPTED, TERMINATED = 130, 143
"""Exit codes as shells count them: 128 and the number of the signal."""
_MOST_SECONDS = 1.5
"""For cleaning up, where a file system is slow; after them the process ends all the same."""
_SHOW_CURSOR = b"\r\x1b[2K\x1b[?25h"
"""Empties the line of a progress bar, which hides the cursor while it is on the screen."""

_cleaners: list[Callable[[], object]] = []


@contextmanager
def cleaned(clean: Callable[[], object]) -> Iterator[None]:
    """`clean` is called where a signal ends the process while the block runs.

    It runs in another thread than the block, which may be anywhere: it takes no locks.
    """
    _cleaners.append(clean)
    try:
        yield
    finally:
        _cleaners.remove(clean)


@contextmanager
def ended_by(codes: Mapping[signal.Signals, int], last_words: Callable[[], str]) -> Iterator[None]:
    """Let signals end the process at once while the block runs; for the main thread only.

    Args:
        codes: exit code by signal. One that is ignored stays ignored, as shells want it of what
            they start in the background.
        last_words: gives a line for stderr.
    """
    woken, heard = socket.socketpair()
    woken.setblocking(False)
    numbers = [number for number in codes if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _stand_still) for number in numbers}
    wakeup = signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    stderr = os.dup(2)  # now: it leads nowhere while TensorFlow loads
    listener = threading.Thread(
        target=_listen, args=(heard, codes, last_words, stderr), daemon=True
    )
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        woken.close()  # which the listener hears
        listener.join()
        heard.close()
        os.close(stderr)


def _stand_still(*_: object) -> None:
    """What the main thread does from a signal on: nothing that could fail for want of a file."""
    threading.Event().wait()


def _listen(
    heard: socket.socket,
    codes: Mapping[signal.Signals, int],
    last_words: Callable[[], str],
    stderr: int,
) -> None:
    while received := heard.recv(1):
        for number, code in codes.items():
            if number == received[0]:
                _end(code, last_words, stderr)


def _end(code: int, last_words: Callable[[], str], stderr: int) -> None:
    limit = threading.Timer(_MOST_SECONDS, os._exit, (code,))
    limit.daemon = True
    limit.start()
    words = b""
    with suppress(Exception):
        words = f"{last_words()}\n".encode()
    for clean in reversed(_cleaners):
        with suppress(Exception):
            clean()
    with suppress(OSError):  # written past sys.stderr, whose lock the main thread may hold
        os.write(stderr, (_SHOW_CURSOR if os.isatty(stderr) else b"") + words)
    with suppress(Exception):
        sys.stdout.flush()
    os._exit(code)
