"""A server under test: starts it, waits until it is ready, pauses it while others are measured."""

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
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Contender:
    """How a server is started and which requests it takes.

    Attributes:
        command: the command line for a port.
        decoder: `graft` or `pillow`, whichever makes the pixels for its answers.
        body: a key of `pictures.draw_bodies`.
        is_pausable: it survives SIGSTOP while another server is measured.
    """

    name: str
    what: str
    command: Callable[[int], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    decoder: str = "pillow"
    body: str = "raw"
    path: str = "/predict"
    ready: str = "/docs"
    is_pausable: bool = True


class Server:
    """A running contender; a context manager that ends all its processes.

    Raises:
        RuntimeError: it ended, or was not ready in time; the message has the last lines of its log.
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
                cwd=ROOT,  # no new session: Linux divides cores among sessions first
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
        """Stop all its processes until `resume`."""
        if self.contender.is_pausable:
            self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self.contender.is_pausable:
            self._signal(signal.SIGCONT)

    def megabytes(self) -> float:
        """Return the resident memory of all its processes; shared memory counts once (PSS)."""
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
        for process in tree:  # those of Ray and LitServe outlive their parent
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
        end = self._log.read_text(errors="replace")[-1500:]
        raise RuntimeError(f"{self.contender.name} was not ready in time; its log ends:\n{end}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
