"""Restarts two replicas behind nginx in turn, under load, and counts lost requests.

    .venv/bin/python -m benchmarks.rolling BUNDLE [RESTARTS=20]

nginx runs with `deploy/nginx.conf`, in which only the ports are changed. A restart sends SIGTERM,
waits until the replica ends (with exit code 0, within STOP_SECONDS), starts it again on the same
port, and waits until /readyz returns 200. Then the other replica is restarted. Each client waits
for a response before it sends the next request, and never retries. It compares each response with
the response to the same picture before the first restart.
"""

from __future__ import annotations

import http.client
import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving.load.pictures import draw_bodies
from benchmarks.serving.server import ROOT, free_port

GRAFT_CONF = ROOT / "deploy/nginx.conf"
CLIENTS, PAUSE_SECONDS = 4, 0.1
READY_SECONDS = 120.0
DRAIN_SECONDS, STOP_SECONDS = 2.0, 2.0 + 10.0 + 3.0
"""The value of GRAFT_DRAIN_SECONDS, and the longest time that a replica may take to stop: the
drain, 10 s for requests in progress (GRAFT_DEADLINE_SECONDS), and 3 s for circus and Python."""
NGINX_CONF = """\
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    log_format outcomes "$status $upstream_status";
    access_log {folder}/outcomes.log outcomes;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/graft.conf;
}}
"""


@dataclass
class Replica:
    """A `bentoml serve` process that can be restarted on the same port."""

    folder: Path
    bundle: Path
    port: int = field(default_factory=free_port)

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        variables = {
            # Each replica has its own home: a start resets the metrics of all servers in a home.
            "BENTOML_HOME": str(self.folder),
            "GRAFT_MODEL": str(self.bundle),
            "GRAFT_DRAIN_SECONDS": str(DRAIN_SECONDS),
        }
        command = [sys.executable, "-m", "bentoml", "serve", "--host", "127.0.0.1"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port)],
                cwd=ROOT,
                env={**os.environ, **variables},
                stdout=log,
                stderr=log,
            )

    def wait_until_ready(self) -> None:
        address = f"http://127.0.0.1:{self.port}/readyz"
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError), urllib.request.urlopen(address, timeout=5):
                return
            time.sleep(0.1)
        log_end = (self.folder / "log").read_text()[-1500:]
        raise RuntimeError(
            f"the replica on port {self.port} is not ready; its log ends:\n{log_end}"
        )

    def stop(self) -> float:
        """Send SIGTERM; return the seconds until the process ended.

        Raises:
            RuntimeError: the exit code is not 0.
            subprocess.TimeoutExpired: the process did not end within STOP_SECONDS.
        """
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        if code := self.process.wait(STOP_SECONDS):
            raise RuntimeError(f"the replica on port {self.port} ended with exit code {code}")
        return time.monotonic() - started

    def kill(self) -> None:
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        self.process.kill()


class Clients:
    """Threads that post pictures over keep-alive connections until the `with` block ends."""

    def __init__(self, port: int, folder: Path) -> None:
        self.outcomes: Counter[str] = Counter()
        self.slowest_seconds = 0.0
        self._port = port
        self._pictures = [path.read_bytes() for path in draw_bodies(folder)["raw"].paths]
        self._lock, self._stopped = threading.Lock(), threading.Event()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._expected = [self._post(connection, picture) for picture in self._pictures]
        connection.close()
        self._threads = [
            threading.Thread(target=self._work, args=(number,)) for number in range(CLIENTS)
        ]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _work(self, first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        for number in itertools.count(first):
            if self._stopped.wait(PAUSE_SECONDS):
                break
            index, started = number % len(self._pictures), time.monotonic()
            try:
                status, answer = self._post(connection, self._pictures[index])
                is_correct = (status, answer) == self._expected[index]
                outcome = f"{status}" if is_correct or status != 200 else "200, wrong body"
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                outcome = repr(error)
            with self._lock:
                self.outcomes[outcome] += 1
                self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - started)
        connection.close()

    @staticmethod
    def _post(connection: http.client.HTTPConnection, picture: bytes) -> tuple[int, bytes]:
        connection.request("POST", "/predict", picture, {"Content-Type": "image/jpeg"})
        response = connection.getresponse()
        return response.status, response.read()


@contextmanager
def nginx(folder: Path, ports: list[int]) -> Iterator[int]:
    """Run nginx in front of replicas on these ports; yield the port of nginx."""
    port, text = free_port(), GRAFT_CONF.read_text()
    for number, replica in enumerate(ports, 1):
        text = text.replace(f"server 127.0.0.1:300{number} ", f"server 127.0.0.1:{replica} ")
    (folder / "graft.conf").write_text(text.replace("listen 8080;", f"listen 127.0.0.1:{port};"))
    # Without this line, the workers of an nginx that root started cannot read the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "main.conf").write_text(NGINX_CONF.format(folder=folder, user=user))
    command = ["nginx", "-e", f"{folder}/error.log", "-c", f"{folder}/main.conf"]
    process = subprocess.Popen(command)
    try:
        yield port
    finally:
        process.send_signal(signal.SIGQUIT)  # graceful: it answers open requests first
        process.wait(30)


@dataclass(frozen=True)
class Result:
    """The result of all restarts.

    Attributes:
        outcomes: how often clients got each status or error.
        upstream: how often nginx got each status from the replicas. If it sent a request to both,
            their statuses are one entry, e.g. `503, 200`.
        slowest_seconds: the longest time that a client waited for a response.
        stops_seconds: how long a replica took to stop, for each restart.
    """

    outcomes: Counter[str]
    upstream: Counter[str]
    slowest_seconds: float
    stops_seconds: list[float]


def restart_replicas(
    folder: Path, bundle: Path, restarts: int, log: Callable[[str], None]
) -> Result:
    """Restart the replicas in turn.

    Raises:
        RuntimeError, subprocess.TimeoutExpired: a replica failed to stop or to start.
    """
    replicas = [Replica(folder / f"replica-{number}", bundle) for number in (1, 2)]
    stops = []
    try:
        # One after another: the first replica times the model, and the second uses its result.
        for replica in replicas:
            replica.start()
            replica.wait_until_ready()
        with nginx(folder, [replica.port for replica in replicas]) as port:
            _wait_for(port)
            with Clients(port, folder) as clients:
                for number, replica in zip(range(restarts), itertools.cycle(replicas)):
                    stops.append(replica.stop())
                    replica.start()
                    replica.wait_until_ready()
                    answers = dict(clients.outcomes)
                    log(f"{number + 1}. stopped in {stops[-1]:.1f} s; responses so far: {answers}")
    finally:
        for replica in replicas:
            if hasattr(replica, "process"):
                replica.kill()
    lines = (folder / "outcomes.log").read_text().splitlines()
    upstream = Counter(re.sub(r"^\d+ ", "", line) for line in lines)
    return Result(clients.outcomes, upstream, clients.slowest_seconds, stops)


def _wait_for(port: int) -> None:
    for _ in range(100):
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz"):
            return
        time.sleep(0.1)
    raise RuntimeError("nginx did not respond within 10 seconds")


def main(bundle: str, restarts: str = "20") -> int:
    with tempfile.TemporaryDirectory() as folder:
        result = restart_replicas(
            Path(folder), Path(bundle), int(restarts), lambda line: print(line, flush=True)
        )
    print(f"restarts: {restarts}; responses to clients, by status: {dict(result.outcomes)}")
    print(f"responses of replicas to nginx, by status: {dict(result.upstream)}")
    print("(503: the replica was draining; 502: it refused or closed the connection)")
    slowest_stop = max(result.stops_seconds)
    print(f"slowest response {result.slowest_seconds:.2f} s; slowest stop {slowest_stop:.1f} s")
    return 0 if set(result.outcomes) == {"200"} else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
