"""Fixtures of the training tests: a cache, a run of the tiny backbone, pictures like photos."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from plugins.registry import resolve
from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from trainers.cache.array_cache import Cache
from trainers.config import TrainingConfig
from trainers.dataset import scanning
from trainers.dataset.dataset import load_dataset
from trainers.dataset.splits import splitting
from trainers.features import decoding
from trainers.features.network import Network
from trainers.phases.context import TrainingContext
from trainers.progress import Progress

Draw = Callable[..., bytes]
DrawFolder = Callable[..., Path]
MakeBundle = Callable[..., Bundle]
COLOURS = ("red", "green", "blue")
SILENT = Progress(is_quiet=True)
BICUBIC = Image.Resampling.BICUBIC
Scene = Callable[..., Image.Image]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """A cache of 1 GB in the temporary folder of the test."""
    return Cache(tmp_path / "cache", 1e9, tmp_path / "work", SILENT)


@pytest.fixture
def start(tmp_path: Path, draw_folder: DrawFolder, cache: Cache) -> Callable[..., TrainingContext]:
    """Prepare a run of the tiny backbone on drawn pictures: start(fine_tune_epochs=3, red=9)."""

    def start(red: int = 30, blue: int = 30, **options: object) -> TrainingContext:
        folder = draw_folder(tmp_path / "pictures", red=red, blue=blue)
        dataset = splitting.split(load_dataset(scanning.scan(folder), cache), 0)
        dataset = decoding.decode_lazily(dataset, 32, cache)
        options = {"output": tmp_path / "out", "batch_size": 8, "weights": "none", **options}
        config = TrainingConfig(plugin="tiny", **options)
        return TrainingContext(
            config, Network(resolve("tiny"), "none", 32, 0), dataset, cache, SILENT
        )

    return start


def draw_scene(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Draw patches of colour of all sizes, like a photo. Each seed gives a different scene."""
    rng = np.random.default_rng(seed)
    scene = np.full((size[1], size[0], 3), 128.0)
    for cells, strength in ((3, 40), (8, 25), (24, 15)):
        patches = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
        scene += strength / 64 * (np.asarray(patches.resize(size, BICUBIC), float) - 128)
    return Image.fromarray(scene.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def scene() -> Scene:
    """Draw a picture like a photo: scene(7) or scene(7, (640, 480))."""
    return draw_scene


@pytest.fixture
def pictures(tmp_path: Path, draw: Draw) -> Path:
    """Draw ten pictures of each colour: red/0.jpg to blue/9.jpg, all with different digests."""
    for colour in COLOURS:
        (tmp_path / "pictures" / colour).mkdir(parents=True)
        for number in range(10):
            picture = draw(colour, size=(64, 48 + number))
            (tmp_path / "pictures" / colour / f"{number}.jpg").write_bytes(picture)
    return tmp_path / "pictures"


@pytest.fixture
def make_model(
    tmp_path: Path, pictures: Path, tiny_bundle: Bundle, manifest: Manifest
) -> MakeBundle:
    """Make a bundle that recognises colours, e.g. make_model("new", blind=["blue"], name="other").

    Its split.csv lists the files that are in `pictures` at that moment.

    Args:
        test: numbers of the test pictures of each colour; all others are training pictures.
        blind: colours that the model does not recognise: it answers with the first class.
        is_old: split.csv has no digests, as in older bundles.
        size: side of the model's input.
        changes: fields of the manifest. With other `classes`, the split has their names, too.
    """

    def make_model(
        folder: str,
        test: Collection[int] = (2, 3),
        blind: Collection[str] = (),
        is_old: bool = False,
        size: int = 32,
        **changes: Any,
    ) -> Bundle:
        staging = tmp_path / folder / "staging"
        shutil.copytree(tiny_bundle.path, staging)
        (staging / "manifest.json").unlink()
        gains = change_model(staging / "model.onnx", blind, size)
        answers = {}
        for index, colour in enumerate(COLOURS):
            powers = np.exp(255 * gains[index].astype(float))
            answers[f"{colour}.png"] = (powers / powers.sum()).tolist()
        (staging / "golden/answers.json").write_text(json.dumps(answers))
        labels = dict(zip(COLOURS, changes.get("classes", COLOURS), strict=True))
        with (staging / "split.csv").open("w", newline="") as file:
            names = ("path", "class", "split") if is_old else ("path", "sha256", "class", "split")
            writer = csv.DictWriter(file, names, extrasaction="ignore")
            writer.writeheader()
            for path in sorted(pictures.glob("*/*.*")):
                sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
                split = "test" if int(path.stem[-1]) in test else "train"
                name, label = path.relative_to(pictures).as_posix(), labels[path.parent.name]
                writer.writerow({"path": name, "sha256": sha256, "class": label, "split": split})
        spec = manifest.input.model_copy(update={"size": size})
        return seal(
            staging, manifest.model_copy(update={"input": spec, **changes}), tmp_path / folder
        )

    return make_model


def change_model(path: Path, blind: Collection[str], size: int) -> np.ndarray:
    """Set the input size, and the outputs of some classes to 0; return the matrix of the model."""
    model = onnx.load(path)
    for axis in (1, 2):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size
    (matrix,) = (array for array in model.graph.initializer if array.name == "matrix")
    gains = numpy_helper.to_array(matrix).copy()
    gains[[COLOURS.index(colour) for colour in blind]] = 0
    matrix.CopyFrom(numpy_helper.from_array(gains, "matrix"))
    onnx.save(model, path)
    return gains
