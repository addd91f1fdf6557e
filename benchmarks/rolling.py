"""Restart two replicas behind nginx one after the other, under load, and count what was lost.

.venv/bin/python -m benchmarks.rolling BUNDLE [RESTARTS=20]

nginx runs `deploy/nginx.conf` with other ports. A restart is SIGTERM, an end with exit code 0
within the drain and the deadline, a new start on the same port, 200 from /readyz; then the other
replica has its turn. Clients wait for each answer, compare it with the one from before any
restart, and never ask twice.
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

from benchmarks.serving.load.pictures import draw
from benchmarks.serving.server import ROOT, free_port

CONF = ROOT / "deploy/nginx.conf"
CLIENTS, PAUSE_SECONDS = 4, 0.1
READY_SECONDS = 120.0
DRAIN_SECONDS, STOP_SECONDS = 2.0, 2.0 + 10.0 + 3.0
"""The drain; the longest wait for an end: drain, deadline, and what circus and Python need."""
MAIN = """\
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    log_format fates "$status $upstream_status";
    access_log {folder}/fates.log fates;
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
    """One `bentoml serve` on a port that it keeps."""

    folder: Path
    bundle: Path
    port: int = field(default_factory=free_port)

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        places = {
            "BENTOML_HOME": str(self.folder),  # a start empties where another of its home counts
            "GRAFT_MODEL": str(self.bundle),
            "GRAFT_DRAIN_SECONDS": str(DRAIN_SECONDS),
        }
        command = [sys.executable, "-m", "bentoml", "serve", "--host", "127.0.0.1"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port)],
                cwd=ROOT,
                env={**os.environ, **places},
                stdout=log,
                stderr=log,
            )

    def wait_until_ready(self) -> None:
        address = f"http://127.0.0.1:{self.port}/readyz"
        give_up = time.monotonic() + READY_SECONDS
        while time.monotonic() < give_up and self.process.poll() is None:
            with suppress(OSError), urllib.request.urlopen(address, timeout=5):
                return
            time.sleep(0.1)
        raise RuntimeError(f"not ready; its log ends:\n{(self.folder / 'log').read_text()[-1500:]}")

    def stop(self) -> float:
        """SIGTERM, and how many seconds it took; RuntimeError where it did not end well."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        if code := self.process.wait(STOP_SECONDS):
            raise RuntimeError(f"it ended with exit code {code}")
        return time.monotonic() - started

    def kill(self) -> None:
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        self.process.kill()


class Clients:
    """Threads that post pictures, each over a connection that it keeps, until they are ended."""

    def __init__(self, port: int, folder: Path) -> None:
        self.fates: Counter[str] = Counter()
        self.slowest_seconds = 0.0
        self._port = port
        self._pictures = [path.read_bytes() for path in draw(folder)["raw"].paths]
        self._lock, self._end = threading.Lock(), threading.Event()
        calm = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._expected = [self._ask(calm, picture) for picture in self._pictures]
        calm.close()
        self._threads = [
            threading.Thread(target=self._work, args=(number,)) for number in range(CLIENTS)
        ]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _work(self, first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        for number in itertools.count(first):
            if self._end.wait(PAUSE_SECONDS):
                break
            which, started = number % len(self._pictures), time.monotonic()
            try:
                status, answer = self._ask(connection, self._pictures[which])
                is_right = (status, answer) == self._expected[which]
                fate = f"{status}" if is_right or status != 200 else "200 with another answer"
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                fate = repr(error)
            with self._lock:
                self.fates[fate] += 1
                self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - started)
        connection.close()

    @staticmethod
    def _ask(connection: http.client.HTTPConnection, picture: bytes) -> tuple[int, bytes]:
        connection.request("POST", "/predict", picture, {"Content-Type": "image/jpeg"})
        response = connection.getresponse()
        return response.status, response.read()


@contextmanager
def nginx(folder: Path, ports: list[int]) -> Iterator[int]:
    """`deploy/nginx.conf` before replicas on these ports -> nginx's own port."""
    port, text = free_port(), CONF.read_text()
    for number, replica in enumerate(ports, 1):
        text = text.replace(f"server 127.0.0.1:300{number} ", f"server 127.0.0.1:{replica} ")
    (folder / "graft.conf").write_text(text.replace("listen 8080;", f"listen 127.0.0.1:{port};"))
    user = "user root;" if os.geteuid() == 0 else ""  # the folder is ours alone
    (folder / "main.conf").write_text(MAIN.format(folder=folder, user=user))
    command = ["nginx", "-e", f"{folder}/error.log", "-c", f"{folder}/main.conf"]
    process = subprocess.Popen(command)
    try:
        yield port
    finally:
        process.send_signal(signal.SIGQUIT)  # answers what it has begun
        process.wait(30)


@dataclass(frozen=True)
class Outcome:
    """Of all restarts: what clients got, what nginx got before it, and how long replicas took."""

    fates: Counter[str]
    upstream: Counter[str]
    slowest_seconds: float
    stops_seconds: list[float]


def roll(folder: Path, bundle: Path, restarts: int, say: Callable[[str], None]) -> Outcome:
    """Restart so many times, each replica in its turn.

    Raises:
        RuntimeError, subprocess.TimeoutExpired: a replica did not stop or start as it should.
    """
    replicas = [Replica(folder / f"replica-{number}", bundle) for number in (1, 2)]
    stops = []
    try:
        for replica in replicas:  # one by one: the first times the model for both
            replica.start()
            replica.wait_until_ready()
        with nginx(folder, [replica.port for replica in replicas]) as port:
            _wait_for(port)
            with Clients(port, folder) as clients:
                for number, replica in zip(range(restarts), itertools.cycle(replicas)):
                    stops.append(replica.stop())
                    replica.start()
                    replica.wait_until_ready()
                    say(f"{number + 1}. stopped in {stops[-1]:.1f} s; {dict(clients.fates)}")
    finally:
        for replica in replicas:
            if hasattr(replica, "process"):
                replica.kill()
    lines = (folder / "fates.log").read_text().splitlines()
    upstream = Counter(re.sub(r"^\d+ ", "", line) for line in lines)
    return Outcome(clients.fates, upstream, clients.slowest_seconds, stops)


def _wait_for(port: int) -> None:
    for _ in range(100):
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz"):
            return
        time.sleep(0.1)
    raise RuntimeError("nginx does not answer")


def main(bundle: str, restarts: str = "20") -> int:
    with tempfile.TemporaryDirectory() as folder:
        found = roll(
            Path(folder), Path(bundle), int(restarts), lambda line: print(line, flush=True)
        )
    print(f"{restarts} restarts; clients got {dict(found.fates)}")
    print(f"nginx got {dict(found.upstream)} (503: draining, 502: refused or closed)")
    print(f"slowest answer {found.slowest_seconds:.2f} s; stops {max(found.stops_seconds):.1f} s")
    return 0 if set(found.fates) == {"200"} else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
