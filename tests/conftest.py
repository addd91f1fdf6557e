"""Fixtures of all tests: a temporary BentoML home, drawn pictures, a tiny bundle and backbone."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.models import ModelStore
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from plugins.base import Backbone, Variant
from plugins.registry import register
from plugins.scaling import to_unit_range
from service.bundle.manifest import DRIFT, Decision, InputSpec, Manifest, OutputSpec
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.imaging import DECODER
from service.monitoring.drift_reference import DriftReference

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

SHARED = Path(__file__).parents[2] / "shared"
SIZE = 32
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
GAIN = 0.02
"""Logit per unit of colour: the tiny model calls a red picture `red` with 0.988."""


Draw = Callable[..., bytes]
DrawFolder = Callable[..., Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files with long tests first, so that no worker starts the longest file at the end."""
    real, slow = (
        {item.path for item in items if item.get_closest_marker(name)} for name in ("real", "slow")
    )
    items.sort(key=lambda item: (item.path not in real, item.path not in slow))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let skipped tests fail if GRAFT_NO_SKIPS is set, as in `make deploy-check`."""
    report = yield
    if report.skipped and os.environ.get("GRAFT_NO_SKIPS"):
        report.outcome = "failed"
    return report


@pytest.fixture(scope="session", autouse=True)
def bentoml_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep BentoML's files in a temporary folder, and switch its tracking off.

    Both hold in subprocesses as well. BentoML reads BENTOML_HOME only once: here, before a test
    can set another one.
    """
    home = tmp_path_factory.mktemp("bentoml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(home))
        patch.setenv("BENTOML_DO_NOT_TRACK", "True")
        patch.setenv("GRAFT_CACHE", str(tmp_path_factory.mktemp("cache")))
        BentoMLContainer.model_store.get()
        yield home


@contextmanager
def use_home(home: Path) -> Iterator[Path]:
    """Use another BENTOML_HOME, in this process and in its subprocesses."""
    with (
        pytest.MonkeyPatch.context() as patch,
        BentoMLContainer.model_store.patch(ModelStore(home / "models")),
    ):
        patch.setenv("BENTOML_HOME", str(home))
        yield home


@pytest.fixture
def empty_home(tmp_path: Path) -> Iterator[Path]:
    """An empty BENTOML_HOME for one test."""
    with use_home(tmp_path / "home") as home:
        yield home


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty BENTOML_HOME for the tests of one file."""
    with use_home(tmp_path_factory.mktemp("module") / "home") as home:
        yield home


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder ../shared with real pictures and weights; without it, the test is skipped."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared with real pictures and weights here")
    return SHARED


@pytest.fixture(scope="session")
def draw_folder() -> DrawFolder:
    """Draw class folders of noisy one-colour pictures: draw_folder(path, red=5, blue=5)."""

    def draw(folder: Path, size: int = 40, **counts: int) -> Path:
        for label, count in counts.items():
            (folder / label).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                rng = np.random.default_rng((list(counts).index(label), number))
                noise = rng.normal(0, 25, (size, size, 3)) + np.array(COLOURS[label]) * 0.7 + 30
                picture = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
                picture.save(folder / label / f"{number}.png")
        return folder

    return draw


def draw_one_colour(
    colour: str = "red", kind: str = "JPEG", size: tuple[int, int] = (64, 48), **options: Any
) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, COLOURS[colour]).save(buffer, kind, **options)
    return buffer.getvalue()


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


def write_heat_maps(path: Path) -> None:
    """Save the operations for heat maps: the colour of each pixel, times GAIN."""
    part = onnx.ModelProto()
    part.graph.node.append(helper.make_node("MatMul", ["nhwc", "matrix"], ["heat_maps"]))
    shape = ["batch", SIZE, SIZE, 3]
    output = helper.make_tensor_value_info("heat_maps", TensorProto.FLOAT, shape)
    part.graph.output.append(output)
    path.write_bytes(part.SerializeToString())


def write_files(folder: Path) -> None:
    """Write the files of the tiny bundle except its manifest; numpy computes the golden answers."""
    (folder / "golden").mkdir(parents=True)
    write_model(folder / "model.onnx")
    write_heat_maps(folder / "heat_maps.onnx.part")
    answers = {}
    for name, colour in COLOURS.items():
        (folder / f"golden/{name}.png").write_bytes(draw_one_colour(name, "PNG"))
        powers = np.exp(np.array(colour) * GAIN)
        answers[f"{name}.png"] = (powers / powers.sum()).tolist()
    (folder / "golden/answers.json").write_text(json.dumps(answers))
    colours = np.eye(3) * 255  # the embeddings of a class have its colour, with a deviation of 20
    arrays = (np.eye(3) / 20, colours / 20, [20] * 3, [1 / 3] * 3, 0.98, 0.05, 20)
    DriftReference(*(np.asarray(array, np.float32) for array in arrays)).write(folder / DRIFT)


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


@pytest.fixture(scope="session")
def multi_label_manifest(manifest: Manifest) -> Manifest:
    """The manifest of a multi-label model; of the files of the tiny bundle, it makes a bundle.

    A red picture has the labels red and green.
    """
    decision = Decision(thresholds={"red": 0.5, "green": 0.002, "blue": 0.5})
    task = {"task": "multi-label", "decision": decision, "name": "labels"}
    return manifest.model_copy(update=task)


@pytest.fixture(scope="session")
def draw() -> Draw:
    """Draw a picture of one colour: draw("red", "PNG", (64, 48)) -> its bytes."""
    return draw_one_colour


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    """A folder with all files of a bundle except the manifest."""
    write_files(tmp_path / "staging")
    return tmp_path / "staging"


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory, manifest: Manifest) -> Bundle:
    """The sealed tiny bundle, shared by all tests: use `bundle_copy` to change its files."""
    folder = tmp_path_factory.mktemp("bundle")
    write_files(folder / "staging")
    return seal(folder / "staging", manifest, folder)


@register
class Tiny(Backbone):
    """A backbone with three convolutions, registered like any plugin; it trains in seconds."""

    family = "tiny"
    default_variant = "s"
    variants = {"s": Variant("", 32, 1_796, to_unit_range)}

    def build(self, weights: str | None, image_size: int) -> Any:
        from keras import Input, Model, layers

        if weights:
            raise OSError("URL fetch failure on https://example.org/tiny.h5: None -- offline")
        images = Input((image_size, image_size, 3))
        features = images
        for number, width in enumerate((8, 8, 12), 1):
            shortcut = features
            features = layers.Conv2D(width, 3, 2, "same", name=f"conv{number}")(features)
            features = layers.BatchNormalization(name=f"norm{number}")(features)
            features = layers.ReLU(name=f"relu{number}")(features)
            if number == 2:
                features = layers.Add()([features, layers.AveragePooling2D(2)(shortcut)])
        return Model(images, features)
