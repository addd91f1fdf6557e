"""A model of colours, and a folder of pictures, some of which it was trained on."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.settings import Settings
from trainers.cache.array_cache import Cache
from trainers.dataset import scanning
from trainers.evaluating.classifying import Answers, classify
from trainers.evaluating.evaluation_set import EvaluationSet, choose_pictures
from trainers.progress import Progress

Draw = Callable[..., bytes]
MakeBundle = Callable[..., Bundle]
Choose = Callable[..., EvaluationSet]
Ask = Callable[..., Answers]
ChooseLabels = Callable[..., tuple[Bundle, EvaluationSet]]
AskLabels = Callable[..., tuple[Bundle, Answers]]
SETTINGS = Settings(threads=1, sessions=1, session_threads=1, max_batch_size=2, device="cpu")
"""Settings with which nothing is timed."""


@pytest.fixture
def folder(tmp_path: Path, draw: Draw) -> Path:
    """Four pictures of each colour; each picture has a different size."""
    for colour in ("red", "green", "blue"):
        (tmp_path / "data" / colour).mkdir(parents=True)
        for number in range(4):
            content = draw(colour, size=(64, 48 + number))
            (tmp_path / "data" / colour / f"{number}.jpg").write_bytes(content)
    return tmp_path / "data"


@pytest.fixture
def make_bundle(tmp_path: Path, tiny_bundle: Bundle, manifest: Manifest) -> MakeBundle:
    """Make a bundle whose split.csv lists pictures: make_bundle({path: "train"}).

    With `has_digests=False`, the table has no hashes, as in older bundles. calibration.json has
    the true scores of 99 validation pictures. `changes` are fields of the manifest.
    """

    def make(split: dict[Path, str], has_digests: bool = True, **changes: object) -> Bundle:
        staging = tmp_path / "staging"
        shutil.copytree(tiny_bundle.path, staging)
        (staging / "manifest.json").unlink()
        scores = [number / 100 for number in range(1, 100)]
        (staging / "calibration.json").write_text(json.dumps({"true_scores": scores}))
        names = ["path", "sha256", "class", "split"] if has_digests else ["path", "class", "split"]
        with (staging / "split.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, names, extrasaction="ignore")
            writer.writeheader()
            for path, name in split.items():
                sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
                row = {"path": path.name, "class": path.parent.name, "split": name}
                writer.writerow({**row, "sha256": sha256})
        return seal(staging, manifest.model_copy(update=changes), tmp_path)

    return make


@pytest.fixture
def choose(tmp_path: Path, folder: Path, tiny_bundle: Bundle) -> Choose:
    """Choose the pictures of `folder`: choose(bundle)."""

    def choose(bundle: Bundle = tiny_bundle) -> EvaluationSet:
        cache = Cache(tmp_path / "cache", 1e9, tmp_path / "work", Progress(is_quiet=True))
        return choose_pictures(scanning.scan(folder), bundle, cache)

    return choose


@pytest.fixture
def ask(tmp_path: Path, choose: Choose, tiny_bundle: Bundle) -> Ask:
    """Let a model classify the pictures of `folder`: ask(bundle)."""

    def ask(bundle: Bundle = tiny_bundle, settings: Settings = SETTINGS) -> Answers:
        return classify(choose(bundle), bundle, settings, tmp_path, Progress(is_quiet=True))

    return ask


@pytest.fixture
def choose_labels(
    tmp_path: Path, folder: Path, make_bundle: MakeBundle, multi_label_manifest: Manifest
) -> ChooseLabels:
    """Choose the pictures of a table: choose_labels({"red/0.jpg": "red|green"}, split).

    The model answers red pictures with red and green, green ones with green, and blue ones with
    blue and green.
    """

    def choose(
        labels: dict[str, str], split: dict[Path, str] | None = None
    ) -> tuple[Bundle, EvaluationSet]:
        with (folder / "labels.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("path", "label"), *labels.items()])
        scan = scanning.scan(folder / "labels.csv", task="multi-label")
        task = {name: getattr(multi_label_manifest, name) for name in ("task", "decision")}
        bundle = make_bundle(split or {}, **task)
        cache = Cache(tmp_path / "cache", 1e9, tmp_path / "work", Progress(is_quiet=True))
        return bundle, choose_pictures(scan, bundle, cache)

    return choose


@pytest.fixture
def ask_labels(tmp_path: Path, choose_labels: ChooseLabels) -> AskLabels:
    """Let the model of `choose_labels` classify a table."""

    def ask(labels: dict[str, str], split: dict[Path, str] | None = None) -> tuple[Bundle, Answers]:
        bundle, chosen = choose_labels(labels, split)
        return bundle, classify(chosen, bundle, SETTINGS, tmp_path, Progress(is_quiet=True))

    return ask
