"""Starts a server, waits until it is ready, and pauses it while others are measured."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil

from benchmarks.serving.load.pictures import Bodies

START_SECONDS = 120
"""The longest time to wait until a server is ready."""
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Contender:
    """How a server is started, and which requests it takes.

    Attributes:
        name: its name in tables and charts.
        description: how it handles a request, as text for tables.
        command: a function that returns the command line for a port.
        environment: additional environment variables.
        decoder: `graft` or `pillow`, the decoder that it uses.
        body: the kind of request body that it takes, a key of the dict from `draw_bodies`.
        path: the URL path that classifies a picture.
        ready: a URL path that returns 200 once the server is ready.
        is_pausable: whether SIGSTOP may pause it while another server is measured.
    """

    name: str
    description: str
    command: Callable[[int], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    decoder: str = "pillow"
    body: str = "raw"
    path: str = "/predict"
    ready: str = "/docs"
    is_pausable: bool = True


class Server:
    """A running server; a context manager that ends all processes of the server.

    Raises:
        RuntimeError: the server ended, or was not ready within START_SECONDS. The message contains
            the end of the server's log.
    """

    def __init__(self, contender: Contender, bodies: Bodies, folder: Path) -> None:
        self.contender, self.bodies = contender, bodies
        self.port = free_port()
        self._log = folder / f"{contender.name.replace(' ', '-')}.log"
        started = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                contender.command(self.port),
                env={**os.environ, **contender.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,  # not in a new session: Linux first divides processor time by session
            )
        self._processes: dict[int, psutil.Process] = {}
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        self.start_seconds = time.monotonic() - started

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.contender.path}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def pause(self) -> None:
        """Suspend all processes of the server until `resume`, if `Contender.is_pausable`."""
        if self.contender.is_pausable:
            self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self.contender.is_pausable:
            self._signal(signal.SIGCONT)

    def megabytes(self) -> float:
        """Return the memory of the server's processes in MB. Shared memory counts once (PSS)."""
        total = 0
        for process in self._tree():
            with suppress(psutil.Error):
                total += process.memory_full_info().pss
        return total / 1e6

    def stop(self) -> None:
        tree = self._tree()
        self._signal(signal.SIGCONT)
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        for process in tree:  # the processes of Ray and LitServe do not end with their parent
            with suppress(psutil.Error):
                process.kill()
        self._process.wait()

    def _tree(self) -> list[psutil.Process]:
        with suppress(psutil.Error):
            parent = psutil.Process(self._process.pid)
            for process in (parent, *parent.children(recursive=True)):
                self._processes[process.pid] = process
        return [process for process in self._processes.values() if process.is_running()]

    def _signal(self, number: int) -> None:
        for process in self._tree():
            with suppress(psutil.Error):
                process.send_signal(number)

    def _wait_until_ready(self) -> None:
        address = f"http://127.0.0.1:{self.port}{self.contender.ready}"
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(address, timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        log_end = self._log.read_text(errors="replace")[-1500:]
        raise RuntimeError(
            f"{self.contender.name} ended, or was not ready within {START_SECONDS} s; its "
            f"log ends:\n{log_end}"
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
