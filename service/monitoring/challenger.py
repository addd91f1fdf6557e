"""A challenger: another model, which classifies pictures in a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from service.bundle.reading import Bundle
from service.errors import BundleError
from service.imaging import Limits
from service.monitoring.challenger_process import SIZE
from service.system.priority import put_back, put_last

_ROOT: Final = Path(__file__).parents[2]
_END_SECONDS: Final = 1.0


class Opinion(NamedTuple):
    """What a challenger says about one picture.

    Attributes:
        label: the class with the highest probability, or all labels of a multi-label model in one
            text; "" if the picture could not be classified.
        seconds: processor time for decoding and the model call.
        error: why the picture could not be classified, else "".
    """

    label: str = ""
    seconds: float = 0.0
    error: str = ""


class Challenger:
    """A running process with a loaded model; use it from one thread only, except `close`.

    The model runs on the CPU, with one thread. All other processes go first, for a processor and
    for memory.

    Args:
        bundle: a bundle that `load_verified` has returned.
        limits: limits on decoding a picture.

    Attributes:
        manifest: the manifest of the model.

    Raises:
        BundleError: the model cannot be loaded or does not reproduce its golden answers.
    """

    def __init__(self, bundle: Bundle, limits: Limits) -> None:
        self.manifest = bundle.manifest
        path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-P", "-m", "service.monitoring.challenger_process"]
        command += [str(bundle.path), self.manifest.id, str(limits.pixels)]
        self._connection, theirs = socket.socketpair()
        self._replies = self._connection.makefile("rb")
        self._has_ended = False
        with theirs:
            # A session of its own, because Linux may divide processor time among sessions.
            self._process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,
            )
        try:
            problem = self._read_line().get("error")
        except EOFError as error:
            problem = str(error)
        if problem:
            self.close()
            raise BundleError(f"the challenger (GRAFT_SHADOW): {problem}")
        put_last(self._process.pid)

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return not self._has_ended and self._process.poll() is None

    def classify(self, data: bytes) -> Opinion:
        """Classify the bytes of a picture file; this may take long, because others go first.

        Raises:
            EOFError: the process has ended.
        """
        with suppress(ConnectionError):  # then there is nothing to read, either
            self._connection.sendall(SIZE.pack(len(data)))
            self._connection.sendall(data)
        return Opinion(**self._read_line())

    def close(self) -> None:
        """End the process, also while it classifies a picture; `classify` then raises an error.

        On a busy machine, a process that is last in line would take seconds to end.
        """
        self._process.kill()
        put_back(self._process.pid)
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        self._replies.close()
        self._connection.close()

    def _read_line(self) -> dict[str, Any]:
        line = b""
        with suppress(ConnectionError):
            line = self._replies.readline()
        if not line.endswith(b"\n"):
            self._has_ended = True
            raise EOFError("its process has ended (did memory run out?); the log may say more")
        content: dict[str, Any] = json.loads(line)
        return content
