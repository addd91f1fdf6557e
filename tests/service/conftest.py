"""A tiny real bundle without TensorFlow, pictures of one colour, and the service as a process."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from service.bundle import Bundle, InputSpec, Manifest, OutputSpec, seal
from service.imaging import DECODER

ROOT = Path(__file__).parents[2]
SIZE = 32
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
GAIN = 0.02
"""Logit per unit of colour: the tiny model calls a red picture `red` with 0.988."""

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


def draw_one_colour(
    colour: str = "red", kind: str = "JPEG", size: tuple[int, int] = (64, 48), **options: Any
) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, COLOURS[colour]).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def draw() -> Draw:
    """Draw a picture of one colour: draw("red", "PNG", (64, 48)) -> its bytes."""
    return draw_one_colour


def write_model(path: Path) -> None:
    """Save an ONNX model: mean colour (the embedding), times GAIN, softmax."""
    axes = numpy_helper.from_array(np.array([2, 3]), "axes")
    matrix = numpy_helper.from_array(np.eye(3, dtype=np.float32) * np.float32(GAIN), "matrix")
    nodes = [
        helper.make_node("Cast", ["images"], ["nhwc"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["nhwc"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("GlobalAveragePool", ["nchw"], ["pooled"]),
        helper.make_node("Squeeze", ["pooled", "axes"], ["embedding"]),
        helper.make_node("MatMul", ["embedding", "matrix"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", SIZE, SIZE, 3])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3])
        for name in ("probabilities", "embedding")
    ]
    graph = helper.make_graph(nodes, "tiny", [images], outputs, [axes, matrix])
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)


def write_files(folder: Path) -> None:
    """Everything of the tiny bundle but its manifest; the golden answers are numpy's."""
    (folder / "golden").mkdir(parents=True)
    write_model(folder / "model.onnx")
    answers = {}
    for name, colour in COLOURS.items():
        (folder / f"golden/{name}.png").write_bytes(draw_one_colour(name, "PNG"))
        powers = np.exp(np.array(colour) * GAIN)
        answers[f"{name}.png"] = (powers / powers.sum()).tolist()
    (folder / "golden/answers.json").write_text(json.dumps(answers))


@pytest.fixture(scope="session")
def manifest() -> Manifest:
    """A manifest as an exporter hands it to `seal`."""
    return Manifest(
        name="tiny",
        created="2026-01-02T03:04:05Z",
        plugin="colour:mean",
        classes=tuple(COLOURS),
        input=InputSpec(size=SIZE),
        outputs=(
            OutputSpec(name="probabilities", shape=("batch", 3)),
            OutputSpec(name="embedding", shape=("batch", 3)),
        ),
        opset=17,
        decoder=DECODER,
        metrics={"test_accuracy": 1.0, "test_n": 3},
        parity={"onnx": 1.2e-7},
        provenance={"seed": 0, "data": "drawn"},
    )


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    """A folder with every file of a bundle but the manifest."""
    write_files(tmp_path / "staging")
    return tmp_path / "staging"


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory, manifest: Manifest) -> Bundle:
    """The sealed tiny bundle, shared: use `bundle_copy` to alter files."""
    folder = tmp_path_factory.mktemp("bundle")
    write_files(folder / "staging")
    return seal(folder / "staging", manifest, folder)


@pytest.fixture
def bundle_copy(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    """A copy of the tiny bundle's folder, to be altered."""
    return Path(shutil.copytree(tiny_bundle.path, tmp_path / "copy"))


@dataclass(frozen=True)
class Server:
    """A running `bentoml serve`."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    without_training: Path
    """One line per process that ran with TensorFlow, Keras and the training code blocked."""

    def workers(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if "_bentoml_impl.worker.service" in child.cmdline()]

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics, by its name with labels."""
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        samples = [line.rpartition(" ") for line in lines if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in samples}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(folder: Path, model: Path | str, **settings: str) -> Server:
    """Run `bentoml serve` in the repository root, where TensorFlow cannot be imported."""
    (folder / "blocker").mkdir()
    (folder / "blocker/sitecustomize.py").write_text(BLOCKER)
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder / "blocker"),
        "BLOCKED": "tensorflow keras tf2onnx onnx sklearn plugins trainers",
        "BLOCKER_LOG": str(folder / "blocked.txt"),
        "GRAFT_MODEL": str(model),
        **settings,
    }
    port = free_port()
    command = [sys.executable, "-m", "bentoml", "serve", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    return Server(url, process, folder / "server.log", folder / "blocked.txt")


def wait_until_ready(server: Server, seconds: float = 90) -> None:
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
    """Start a service of one's own: `with serve(GRAFT_TOP_K="1") as server:`."""

    @contextmanager
    def serve(**settings: str) -> Iterator[Server]:
        server = start(tmp_path_factory.mktemp("server"), tiny_bundle.path, **settings)
        processes = [psutil.Process(server.process.pid)]
        try:
            wait_until_ready(server)
            processes += server.workers()
            yield server
        finally:
            server.process.terminate()
            try:
                server.process.wait(30)
            finally:
                for process in processes:  # none is left when all is well
                    if process.is_running():
                        process.kill()

    return serve


@pytest.fixture
def refuse_to_serve(tmp_path: Path) -> RefuseToServe:
    """Start a service that ends by itself -> its exit code and everything that it said."""

    def refuse_to_serve(model: Path | str, **settings: str) -> tuple[int, str]:
        server = start(tmp_path, model, **settings)
        try:
            code = server.process.wait(60)
        finally:
            server.process.kill()
        return code, server.log.read_text()

    return refuse_to_serve


@pytest.fixture(scope="session")
def server(serve: Serve) -> Iterator[Server]:
    """One service with default settings, for every test that leaves it as it was."""
    with serve() as server:
        yield server
