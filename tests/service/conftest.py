"""Fixtures that run the service in a subprocess in which TensorFlow cannot be imported."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from struct import pack
from typing import Any

import httpx
import psutil
import pytest

from service.bundle.reading import Bundle
from service.engine.session_config import SessionConfig, TuningResult
from service.imaging import Limits
from service.monitoring import shadow
from service.monitoring.challenger import Opinion
from service.server import runtime_directory
from service.server.runtime_directory import RuntimeDirectory
from service.settings import Settings
from service.state import ServiceState

ROOT = Path(__file__).parents[2]
BLOCKER = """\
import os, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in os.environ["BLOCKED"].split():
            raise ImportError(f"{name} is blocked in this test")

sys.meta_path.insert(0, Blocker())
with open(os.environ["BLOCKER_LOG"], "a") as log:
    log.write(f"{os.getpid()}\\n")
"""

Draw = Callable[..., bytes]
Serve = Callable[..., AbstractContextManager["Server"]]
RefuseToServe = Callable[..., tuple[int, str]]
MakeState = Callable[..., ServiceState]
TUNING = TuningResult(
    cores=1, curve=(), choice=SessionConfig(sessions=1, session_threads=1, max_batch_size=4)
)


@pytest.fixture
def bundle_copy(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    """A copy of the tiny bundle's folder that a test may change."""
    return Path(shutil.copytree(tiny_bundle.path, tmp_path / "copy"))


@pytest.fixture
def make_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., RuntimeDirectory | None]:
    """Create the directory of a number of workers in tmp_path, and join it as the first worker."""
    monkeypatch.setenv(runtime_directory.DIRECTORY_VARIABLE, "")  # restored afterwards
    memory_folder = tmp_path / "memory"
    memory_folder.mkdir()
    monkeypatch.setattr(runtime_directory, "_MEMORY_FOLDER", memory_folder)

    def make_directory(workers: int = 1) -> RuntimeDirectory | None:
        runtime_directory.create_runtime_directory(workers)
        return runtime_directory.join_runtime_directory()

    return make_directory


@pytest.fixture
def directory(make_directory: Callable[..., RuntimeDirectory]) -> RuntimeDirectory:
    """The directory that two workers of a service share; this process is the first worker."""
    return make_directory(2)


@dataclass(frozen=True)
class RunningService:
    """A running service of which only the URL is known."""

    url: str

    def metrics(self) -> dict[str, float]:
        """Map the name and labels of each sample of /metrics to its value."""
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        samples = [line.rpartition(" ") for line in lines if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in samples}


@dataclass(frozen=True)
class Server(RunningService):
    """A running `bentoml serve`."""

    process: subprocess.Popen[bytes]
    log: Path
    blocker_log: Path
    """Has the pid of each process that ran with TensorFlow, Keras and the training code blocked."""

    def workers(self) -> list[psutil.Process]:
        processes = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.Error):  # it has just ended
                if "_bentoml_impl.worker.service" in child.cmdline():
                    processes.append(child)
        return processes


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(
    folder: Path,
    model: Path | str,
    bento: str | None = None,
    stderr: int | None = None,
    *,
    port: int | None = None,
    wrapper: Sequence[str] = (),
    **settings: str,
) -> Server:
    """Run `bentoml serve` with TensorFlow blocked, in the repository root or for a bento.

    Args:
        port: a free port by default.
        wrapper: a command that runs the command after it, e.g. `unshare`.
    """
    (folder / "blocker").mkdir()
    (folder / "blocker/sitecustomize.py").write_text(BLOCKER)
    python_path = [path for path in [os.environ.get("PYTHONPATH")] if path]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder / "blocker"), *python_path]),
        "BLOCKED": "tensorflow keras tf2onnx onnx sklearn plugins trainers",
        "BLOCKER_LOG": str(folder / "blocked.txt"),
        "BENTOML_HOME": str(folder / "home"),
        "GRAFT_MODEL": str(model),
        "GRAFT_DRAIN_SECONDS": "0",  # most tests do not test draining
        **settings,
    }
    port = port or free_port()
    command = [*wrapper, sys.executable, "-m", "bentoml", "serve", *([bento] if bento else [])]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder if bento else ROOT,
            env=environment,
            stdout=log,
            stderr=log if stderr is None else stderr,
        )
    url = f"http://127.0.0.1:{port}"
    return Server(url, process, folder / "server.log", folder / "blocked.txt")


def wait_until_ready(server: Server, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            if httpx.get(f"{server.url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"the service did not get ready:\n{server.log.read_text()}")


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Bundle) -> Serve:
    """Start a service for one test: `with serve(GRAFT_TOP_K="1") as server:`."""

    if "GRAFT_TEST_URL" in os.environ:
        pytest.skip("needs its own service, but GRAFT_TEST_URL names another one")

    @contextmanager
    def serve(
        bento: str | None = None,
        stderr: int | None = None,
        *,
        model: Path | None = None,
        wrapper: Sequence[str] = (),
        **settings: str,
    ) -> Iterator[Server]:
        folder = tmp_path_factory.mktemp("server")
        model_path = model or tiny_bundle.path
        server = start(folder, model_path, bento, stderr, wrapper=wrapper, **settings)
        processes = [psutil.Process(server.process.pid)]
        try:
            wait_until_ready(server)
            processes += server.workers()
            yield server
        finally:
            server.process.terminate()
            try:
                server.process.wait(90)
            finally:
                for process in processes:  # normally, all have ended
                    if process.is_running():
                        process.kill()

    return serve


@pytest.fixture
def refuse_to_serve(tmp_path: Path) -> RefuseToServe:
    """Start a service that must end by itself; return its exit code and its log."""

    def refuse_to_serve(
        model: Path | str, port: int | None = None, **settings: str
    ) -> tuple[int, str]:
        server = start(tmp_path, model, port=port, **settings)
        try:
            code = server.process.wait(180)
        finally:
            server.process.kill()
        return code, server.log.read_text()

    return refuse_to_serve


@pytest.fixture(scope="session")
def slow_picture() -> bytes:
    """A PNG of 49 megapixels in 150 KB; decoding it takes more than half a second."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + name + data + pack(">I", zlib.crc32(name + data))

    header = pack(">IIBBBBB", 7000, 7000, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\4" + b"\xff" * 21_000) * 7000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


@pytest.fixture
def starting(tmp_path: Path, tiny_bundle: Bundle) -> Iterator[Server]:
    """A service that has just been started and is not ready yet."""
    server = start(tmp_path, tiny_bundle.path)
    yield server
    server.process.terminate()
    server.process.wait(90)


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A service with default settings, shared by all tests that do not change it.

    If GRAFT_TEST_URL is set (`make image-check` sets it), it is the service at that URL, which must
    serve the tiny bundle. Only tests that need nothing but HTTP can use it.
    """
    if url := os.environ.get("GRAFT_TEST_URL"):
        yield RunningService(url)
        return
    with request.getfixturevalue("serve")() as server:
        yield server


@pytest.fixture
def make_state(tiny_bundle: Bundle) -> Iterator[MakeState]:
    """Make the state of a service with the tiny model, without BentoML: make_state(top_k=1)."""
    states = []

    def make_state(
        runtime_directory: RuntimeDirectory | None = None, **settings: Any
    ) -> ServiceState:
        all_settings = Settings(**{"model": str(tiny_bundle.path), "threads": 1, **settings})
        states.append(ServiceState(all_settings, tiny_bundle, TUNING, runtime_directory))
        return states[-1]

    yield make_state
    for state in states:
        state.close()


class FakeChallenger:
    """A challenger without a process. It says that every picture shows `label`."""

    label = "red"

    def __init__(self, bundle: Bundle, limits: Limits) -> None:
        self.manifest = bundle.manifest
        self.is_running = True
        self.pictures: list[bytes] = []

    def classify(self, data: bytes) -> Opinion:
        self.pictures.append(data)
        return Opinion(self.label, 0.02)

    def close(self) -> None:
        self.is_running = False


@pytest.fixture
def fake_challengers(monkeypatch: pytest.MonkeyPatch) -> list[FakeChallenger]:
    """All challengers that are started; none of them needs a process."""
    challengers: list[FakeChallenger] = []

    def start(bundle: Bundle, limits: Limits) -> FakeChallenger:
        challengers.append(FakeChallenger(bundle, limits))
        return challengers[-1]

    monkeypatch.setattr(shadow, "Challenger", start)
    return challengers


@pytest.fixture
def state(make_state: MakeState) -> ServiceState:
    """The state of a service with the tiny model and default settings."""
    return make_state()


@pytest.fixture
def classifier(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The object of the BentoML service, in this process."""
    from service.app import Classifier

    monkeypatch.setenv("GRAFT_MODEL", str(tiny_bundle.path))
    monkeypatch.setenv("GRAFT_DRAIN_SECONDS", "0.3")
    previous_handler = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    classifier = Classifier()
    yield classifier
    asyncio.run(classifier.close())
    signal.signal(signal.SIGTERM, previous_handler)
