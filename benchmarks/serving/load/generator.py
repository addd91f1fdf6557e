"""Open-loop load: pictures arrive by chance (Poisson), whether earlier ones are answered or not.

    python -m benchmarks.serving.load.generator PORT PATH CONTENT_TYPE RATE:SECONDS,... FILES...

is the generator, in a process of its own; it prints JSON when the last answer is there. Bare
sockets and one epoll, because what it takes of the processors the service does not have: asyncio
under uvloop took three times as much.
"""

from __future__ import annotations

import json
import math
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

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
    command = [sys.executable, "-m", "benchmarks.serving.load.generator", str(server.port)]
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
    edges = [0.0, *np.cumsum([seconds for _, seconds in phases])]
    edges[-1] = math.inf  # what was sent late belongs to the last phase, too
    parts = [[one for one in arrivals if start <= one.sent < end] for start, end in pairwise(edges)]
    return Traffic(parts, told["lag_p99_ms"], told["processor_share"])


class Connection:
    """A keep-alive connection with at most one request under way.

    Attributes:
        sent: when (`time.perf_counter`) that request went off; None between requests.
    """

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.sent: float | None = None
        self._received = b""

    def ask(self, request: bytes) -> None:
        self._received = b""
        self.sent = time.perf_counter()
        with suppress(ConnectionError):  # it ended: `answer` will see that
            self.socket.sendall(request)

    def answer(self) -> tuple[int, bool] | None:
        """The status, and whether it says when to come back, once the whole answer is there."""
        try:
            received = self.socket.recv(1 << 16)
        except OSError:
            received = b""
        if not received:
            return LOST, False
        self._received += received
        end = self._received.find(b"\r\n\r\n")
        length = _LENGTH.search(self._received, 0, end + 2) if end >= 0 else None
        if length is None or len(self._received) < end + 4 + int(length[1]):
            return None
        return int(self._received[9:12]), _RETRY_AFTER.search(self._received, 0, end) is not None


class Generator:
    """Sends each request when its time has come, over an idle connection or a new one."""

    def __init__(self, port: int, requests: list[bytes]) -> None:
        self._port, self._requests = port, requests
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._idle: list[Connection] = []
        self._arrivals: list[tuple[float, float, int, bool]] = []
        self._started = 0.0

    def run(self, times: Sequence[float]) -> dict[str, object]:
        lags = []
        self._started = time.perf_counter()
        used = time.process_time()
        for number, at in enumerate(times):
            lags.append(self._listen_until(self._started + at) * 1000)
            self._send(self._requests[number % len(self._requests)])
        share = (time.process_time() - used) / (time.perf_counter() - self._started)
        give_up = time.perf_counter() + PATIENCE_SECONDS
        while len(self._idle) < len(self._connections) and time.perf_counter() < give_up:
            self._listen_until(time.perf_counter() + 0.01)
        for connection in self._connections.values():
            self._note(connection, LOST, False)
        return {
            "arrivals": self._arrivals,
            "lag_p99_ms": float(np.percentile(lags, 99)),
            "processor_share": share,
        }

    def _listen_until(self, moment: float) -> float:
        """Take answers until then; how many seconds later it is."""
        while (wait := moment - time.perf_counter()) > 0:
            for number, _ in self._epoll.poll(wait):
                connection = self._connections[number]
                if (answer := connection.answer()) is None:
                    continue
                self._note(connection, *answer)
                if answer[0] == LOST:
                    self._forget(connection)
                else:
                    self._idle.append(connection)
        return -wait

    def _forget(self, connection: Connection) -> None:
        self._epoll.unregister(connection.socket)
        del self._connections[connection.socket.fileno()]
        if connection in self._idle:
            self._idle.remove(connection)
        connection.socket.close()

    def _send(self, request: bytes) -> None:
        """What connecting takes is not counted: load balancers keep their connections."""
        if self._idle:
            connection = self._idle.pop()
        else:
            connection = Connection(self._port)
            self._connections[connection.socket.fileno()] = connection
            self._epoll.register(connection.socket, select.EPOLLIN)
        connection.ask(request)

    def _note(self, connection: Connection, status: int, says_when: bool) -> None:
        """Nothing where a connection ends that was not asked."""
        if connection.sent is not None:
            milliseconds = (time.perf_counter() - connection.sent) * 1000
            sent = connection.sent - self._started
            self._arrivals.append((sent, milliseconds, status, says_when))
            connection.sent = None


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
    print(json.dumps(Generator(int(port), requests).run(times)))


if __name__ == "__main__":
    main(*sys.argv[1:])
