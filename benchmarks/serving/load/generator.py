"""Generates open-loop load: requests at random times (Poisson), without waiting for responses.

    python -m benchmarks.serving.load.generator PORT PATH CONTENT_TYPE RATE:SECONDS,... FILES...

starts the generator in a separate process. It prints JSON after the last response. The generator
takes processor time that the service then cannot use. So it uses plain sockets and one epoll,
which take a third of the time of asyncio and uvloop.
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
TIMEOUT_SECONDS = 15.0
LOST = 0
"""The recorded status of a request without a complete response."""


@dataclass(frozen=True)
class Request:
    """A request and its response.

    Attributes:
        sent: when it was sent, in seconds since the start.
        milliseconds: time until the response was complete or the generator gave up.
        status: HTTP status, or LOST.
        has_retry_after: whether the response has the header Retry-After.
    """

    sent: float
    milliseconds: float
    status: int
    has_retry_after: bool


@dataclass(frozen=True)
class Traffic:
    """The result of a run of the generator.

    Attributes:
        phases: the requests of each phase.
        lag_p99_ms: 99% of the requests were sent at most this many milliseconds late.
        processor_share: processor time of the generator, as a share of one core.
    """

    phases: list[list[Request]]
    lag_p99_ms: float
    processor_share: float


def start_load(server: Server, phases: Sequence[tuple[float, float]]) -> subprocess.Popen[str]:
    """Start a generator in a separate process.

    Args:
        phases: the phases in order, each with its rate (requests per second) and duration (s).
    """
    command = [sys.executable, "-m", "benchmarks.serving.load.generator", str(server.port)]
    command += [server.contender.path, server.bodies.content_type]
    command += [",".join(f"{rate}:{seconds}" for rate, seconds in phases)]
    command += map(str, server.bodies.paths)
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def collect(generator: subprocess.Popen[str], phases: Sequence[tuple[float, float]]) -> Traffic:
    """Wait until the generator ends, and divide its requests by phase.

    Raises:
        RuntimeError: the generator failed.
    """
    output = generator.communicate()[0]
    if generator.returncode:
        raise RuntimeError(
            f"the load generator ended with exit code {generator.returncode}; its messages above "
            "say why"
        )
    result = json.loads(output)
    requests = [Request(*entry) for entry in result["requests"]]
    edges = [0.0, *np.cumsum([seconds for _, seconds in phases])]
    edges[-1] = math.inf  # requests that are sent after the end belong to the last phase
    by_phase = [
        [request for request in requests if start <= request.sent < end]
        for start, end in pairwise(edges)
    ]
    return Traffic(by_phase, result["lag_p99_ms"], result["processor_share"])


class Connection:
    """A keep-alive connection that carries at most one request at a time.

    Attributes:
        sent: when the current request was sent (`time.perf_counter`); None if there is none.
    """

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(TIMEOUT_SECONDS)
        self.sent: float | None = None
        self._received = b""

    def send(self, request: bytes) -> None:
        self._received = b""
        self.sent = time.perf_counter()
        with suppress(ConnectionError):  # `read_answer` notices it
            self.socket.sendall(request)

    def read_answer(self) -> tuple[int, bool] | None:
        """Read the part of the response that has arrived.

        Returns:
            None if the response is not yet complete. Otherwise its status (LOST if the connection
            is closed or broken), and whether it has the header Retry-After.
        """
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
    """Sends each request at its planned time. It opens a connection only if none is idle."""

    def __init__(self, port: int, requests: list[bytes]) -> None:
        self._port, self._requests = port, requests
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._idle: list[Connection] = []
        self._results: list[tuple[float, float, int, bool]] = []
        self._started = 0.0

    def run(self, times: Sequence[float]) -> dict[str, object]:
        lags = []
        self._started = time.perf_counter()
        processor_time = time.process_time()
        for number, send_time in enumerate(times):
            lags.append(self._read_until(self._started + send_time) * 1000)
            self._send(self._requests[number % len(self._requests)])
        share = (time.process_time() - processor_time) / (time.perf_counter() - self._started)
        deadline = time.perf_counter() + TIMEOUT_SECONDS
        while len(self._idle) < len(self._connections) and time.perf_counter() < deadline:
            self._read_until(time.perf_counter() + 0.01)
        for connection in self._connections.values():
            self._record(connection, LOST, False)
        return {
            "requests": self._results,
            "lag_p99_ms": float(np.percentile(lags, 99)),
            "processor_share": share,
        }

    def _read_until(self, moment: float) -> float:
        """Read responses until `moment` (`time.perf_counter`).

        Returns:
            The seconds that have passed since `moment`.
        """
        while (wait := moment - time.perf_counter()) > 0:
            for number, _ in self._epoll.poll(wait):
                connection = self._connections[number]
                if (answer := connection.read_answer()) is None:
                    continue
                self._record(connection, *answer)
                if answer[0] == LOST:
                    self._close(connection)
                else:
                    self._idle.append(connection)
        return -wait

    def _close(self, connection: Connection) -> None:
        self._epoll.unregister(connection.socket)
        del self._connections[connection.socket.fileno()]
        if connection in self._idle:
            self._idle.remove(connection)
        connection.socket.close()

    def _send(self, request: bytes) -> None:
        """Send a request. Time to connect does not count: load balancers keep connections open."""
        if self._idle:
            connection = self._idle.pop()
        else:
            connection = Connection(self._port)
            self._connections[connection.socket.fileno()] = connection
            self._epoll.register(connection.socket, select.EPOLLIN)
        connection.send(request)

    def _record(self, connection: Connection, status: int, has_retry_after: bool) -> None:
        """Record the end of a request; ignore connections without an open request."""
        if connection.sent is not None:
            milliseconds = (time.perf_counter() - connection.sent) * 1000
            sent = connection.sent - self._started
            self._results.append((sent, milliseconds, status, has_retry_after))
            connection.sent = None


def draw_arrivals(phases: Sequence[tuple[float, float]], seed: int = 0) -> Iterator[float]:
    """Yield random send times, in seconds since the start, with exponential intervals."""
    rng = np.random.default_rng(seed)
    begin = 0.0
    for rate, seconds in phases:
        arrival = begin + rng.exponential(1 / rate)
        while arrival < begin + seconds:
            yield arrival
            arrival += rng.exponential(1 / rate)
        begin += seconds


def main(port: str, path: str, content_type: str, phases: str, *files: str) -> None:
    requests = []
    for file in files:
        body = Path(file).read_bytes()
        head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: {content_type}\r\n"
        requests.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    pairs = [phase.split(":") for phase in phases.split(",")]
    times = list(draw_arrivals([(float(rate), float(seconds)) for rate, seconds in pairs]))
    print(json.dumps(Generator(int(port), requests).run(times)))


if __name__ == "__main__":
    main(*sys.argv[1:])
