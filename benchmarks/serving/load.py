"""Open-loop load: pictures arrive by chance (Poisson), whether earlier ones are answered or not.

    python -m benchmarks.serving.load PORT PATH CONTENT_TYPE RATE:SECONDS,... FILES...

is the generator, in a process of its own; it prints JSON when the last answer is there.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import uvloop

from benchmarks.serving.server import ROOT, Server

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RETRY_AFTER = re.compile(rb"\r\nretry-after: *\d", re.IGNORECASE)
PATIENCE_SECONDS = 15.0
LOST = 0
"""In place of a status: the connection was closed before an answer, or none came."""


@dataclass(frozen=True)
class Arrival:
    """One request: seconds since the start, its answer's milliseconds and status."""

    sent: float
    milliseconds: float
    status: int
    says_when: bool


@dataclass(frozen=True)
class Traffic:
    """All arrivals of each phase, and what making them cost."""

    phases: list[list[Arrival]]
    lag_p99_ms: float
    processor_share: float


def start_load(server: Server, phases: Sequence[tuple[float, float]]) -> subprocess.Popen[str]:
    """Begin to send: phases are (requests a second, seconds), one after another."""
    command = [sys.executable, "-m", "benchmarks.serving.load", str(server.port)]
    command += [server.contender.path, server.bodies.content_type]
    command += [",".join(f"{rate}:{seconds}" for rate, seconds in phases)]
    command += map(str, server.bodies.paths)
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def collect(generator: subprocess.Popen[str], phases: Sequence[tuple[float, float]]) -> Traffic:
    """Wait for the generator's end and sort its arrivals by phase."""
    output = generator.communicate()[0]
    if generator.returncode:
        raise RuntimeError(f"the load generator ended with {generator.returncode}, see above")
    told = json.loads(output)
    arrivals = [Arrival(*entry) for entry in told["arrivals"]]
    edges = np.cumsum([0.0, *(seconds for _, seconds in phases)])
    parts = [[one for one in arrivals if start <= one.sent < end] for start, end in pairwise(edges)]
    return Traffic(parts, told["lag_p99_ms"], told["processor_share"])


class Connection(asyncio.Protocol):
    """A keep-alive connection with at most one request under way."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._received = b""
        self._number: int | None = None
        self._needed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def ask(self, number: int, request: bytes) -> None:
        self._received, self._needed, self._number = b"", 0, number
        self._generator.begin(number)
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._needed:
            end = self._received.find(b"\r\n\r\n")
            length = _LENGTH.search(self._received, 0, end) if end >= 0 else None
            if length is None:
                return
            self._needed = end + 4 + int(length[1])
        if len(self._received) >= self._needed:
            self._end(int(self._received[9:12]), _RETRY_AFTER.search(self._received) is not None)
            if not self.transport.is_closing():
                self._generator.idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(LOST, False)
        if self in self._generator.idle:
            self._generator.idle.remove(self)

    def _end(self, status: int, says_when: bool) -> None:
        if self._number is not None:
            self._generator.end(self._number, status, says_when)
            self._number = None


class Generator:
    """Sends each request when its time has come, over an idle connection or a new one."""

    def __init__(self, port: int, requests: list[bytes]) -> None:
        self._port, self._requests = port, requests
        self.idle: list[Connection] = []
        self._under_way: dict[int, float] = {}
        self._arrivals: list[tuple[float, float, int, bool]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = 0.0

    async def run(self, times: Sequence[float]) -> dict[str, object]:
        lags = []
        self._started = time.perf_counter()
        used = time.process_time()
        for number, at in enumerate(times):
            while (wait := self._started + at - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            lags.append(-wait * 1000)
            request = self._requests[number % len(self._requests)]
            if self.idle:
                self.idle.pop().ask(number, request)
            else:
                self.begin(number)
                task = asyncio.create_task(self._connect(number, request))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        share = (time.process_time() - used) / (time.perf_counter() - self._started)
        give_up = time.perf_counter() + PATIENCE_SECONDS
        while self._under_way and time.perf_counter() < give_up:
            await asyncio.sleep(0.01)
        for number in list(self._under_way):
            self.end(number, LOST, False)
        return {
            "arrivals": self._arrivals,
            "lag_p99_ms": float(np.percentile(lags, 99)),
            "processor_share": share,
        }

    async def _connect(self, number: int, request: bytes) -> None:
        """What connecting takes is not counted: load balancers keep their connections."""
        loop = asyncio.get_running_loop()
        try:
            _, one = await loop.create_connection(lambda: Connection(self), "127.0.0.1", self._port)
        except OSError:
            self.end(number, LOST, False)
            return
        one.ask(number, request)

    def begin(self, number: int) -> None:
        self._under_way[number] = time.perf_counter()

    def end(self, number: int, status: int, says_when: bool) -> None:
        sent = self._under_way.pop(number)
        milliseconds = (time.perf_counter() - sent) * 1000
        self._arrivals.append((sent - self._started, milliseconds, status, says_when))


def arrivals(phases: Sequence[tuple[float, float]], seed: int = 0) -> Iterator[float]:
    """Seconds since the start, exponentially apart."""
    rng = np.random.default_rng(seed)
    begin = 0.0
    for rate, seconds in phases:
        at = begin + rng.exponential(1 / rate)
        while at < begin + seconds:
            yield at
            at += rng.exponential(1 / rate)
        begin += seconds


def main(port: str, path: str, content_type: str, told: str, *files: str) -> None:
    requests = []
    for file in files:
        body = Path(file).read_bytes()
        head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: {content_type}\r\n"
        requests.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    pairs = [phase.split(":") for phase in told.split(",")]
    times = list(arrivals([(float(rate), float(seconds)) for rate, seconds in pairs]))
    print(json.dumps(uvloop.run(Generator(int(port), requests).run(times))))


if __name__ == "__main__":
    main(*sys.argv[1:])
