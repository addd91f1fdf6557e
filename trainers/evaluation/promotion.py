"""Promotion: a new model replaces an old one if it is at least as accurate on unseen pictures."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from service.bundle import store
from service.bundle.manifest import MANIFEST
from service.bundle.reading import Bundle
from service.engine.predictor import Predictor
from service.errors import BundleError, GraftError
from service.system.resources import usable_cores
from trainers.evaluation.paired_comparison import compare_answers
from trainers.progress import log


@dataclass(frozen=True)
class SplitRow:
    """One row of a bundle's split.csv.

    Attributes:
        path: path of the picture, relative to the data folder.
        sha256: hash of the file; empty in older bundles, which do not record it.
        label: the class.
        split: train, validation or test.
    """

    path: str
    sha256: str
    label: str
    split: str


def promote(new: Bundle, old: Bundle, data: Path) -> str:
    """Make the new model the latest of its name if it is at least as accurate as the old one.

    Both models classify the same pictures: the test pictures of the new model that the old model
    was neither trained nor validated on. Both models run in the predictor that the service uses.

    Args:
        data: the folder of pictures that the new model was trained on.

    Returns:
        The tag of the latest model: the new one if it is at least as accurate. Otherwise the old
        one, or another model that was the latest before.

    Raises:
        GraftError: the models cannot be compared, or a picture cannot be used.
    """
    if new.manifest.name != old.manifest.name:
        raise BundleError(
            f"{new.path} has the name {new.manifest.name}, but the model to replace has the name "
            f"{old.manifest.name}: a model can only replace a model of the same name. Use --over "
            f"with a model that has the name {new.manifest.name}"
        )
    rows = unseen_test_rows(new, old)
    result = compare_answers(correct_answers(new, rows, data), correct_answers(old, rows, data))
    log.info(
        "accuracy on the same test pictures (%d): new model %s %.4f, old model %s %.4f; the "
        "difference, new minus old, is between %+.4f and %+.4f (95%% confidence interval)",
        *(result.n, tag(new), result.new, tag(old), result.old, result.low, result.high),
    )
    if result.is_at_least_as_accurate:
        saved = store.save(new)
        log.info("the new model is at least as accurate: %s is now the latest", saved)
        return saved
    return _keep_latest(old, instead_of=new)


def _keep_latest(old: Bundle, instead_of: Bundle) -> str:
    """Make the old model the latest again if the new one is the latest; return the latest's tag.

    Args:
        instead_of: the new model.
    """
    latest = Bundle.read(store.resolve(old.manifest.name))
    if latest.manifest.id != instead_of.manifest.id:
        log.info("the new model is less accurate: %s is still the latest", tag(latest))
        return tag(latest)
    saved = store.save(old)
    log.info("the new model is less accurate: %s is the latest again", saved)
    return saved


def find_newest(folder: Path) -> Bundle:
    """Read `folder` if it is a bundle; otherwise read the newest bundle in its sub-folders.

    Raises:
        BundleError: there is no bundle, or a bundle is damaged.
    """
    if (folder / MANIFEST).is_file():
        return Bundle.read(folder)
    bundles = [Bundle.read(path.parent) for path in sorted(folder.glob(f"*/{MANIFEST}"))]
    if not bundles:
        raise BundleError(
            f"there is no bundle in {folder}: give the path of a bundle, or of the --output folder "
            "of a training run"
        )
    return max(bundles, key=lambda bundle: bundle.manifest.created)


def unseen_test_rows(new: Bundle, old: Bundle) -> list[SplitRow]:
    """Return the new model's test pictures that the old one was neither trained nor validated on.

    Pictures are compared by hash, or by path if one of the bundles does not record all hashes.

    Raises:
        BundleError: no picture is left to compare the models with.
    """
    tested = [row for row in read_split(new) if row.split == "test"]
    learned = [row for row in read_split(old) if row.split != "test"]
    if all(row.sha256 for row in (*tested, *learned)):
        known = {row.sha256 for row in learned}
        unseen = [row for row in tested if row.sha256 not in known]
    else:
        log.warning(
            "pictures are compared by path, because one of the two bundles does not record their "
            "hashes: a renamed picture counts as unseen, even if the old model was trained on it. "
            "To compare by hash, train both models with this version of Graft"
        )
        known = {row.path for row in learned}
        unseen = [row for row in tested if row.path not in known]
    if not unseen:
        raise BundleError(
            "no picture is left to compare the models with: the old model in "
            f"{old.path} was trained or validated on every test picture of the new model in "
            f"{new.path} (test pictures: {len(tested)}). Train the new model with the --seed of "
            "the old one, which selects the same test pictures"
        )
    return unseen


def correct_answers(bundle: Bundle, rows: Iterable[SplitRow], data: Path) -> list[bool]:
    """Classify pictures, and return for each of them whether the predicted class is correct.

    Raises:
        GraftError: a picture is missing, has changed or cannot be decoded, or the model cannot be
            loaded.
    """
    predictor = Predictor(bundle, usable_cores())
    answers = []
    for row in rows:
        image = predictor.decode(_read_picture(row, data))
        best = int(predictor.predict(image[None])[0].argmax())
        answers.append(predictor.classes[best] == row.label)
    return answers


def read_split(bundle: Bundle) -> list[SplitRow]:
    """Read the split.csv of a bundle."""
    with (bundle.path / "split.csv").open(newline="", encoding="utf-8") as file:
        return [
            SplitRow(row["path"], row.get("sha256") or "", row["class"], row["split"])
            for row in csv.DictReader(file)
        ]


def tag(bundle: Bundle) -> str:
    """Return the tag of a bundle in BentoML's store: NAME:VERSION."""
    return f"{bundle.manifest.name}:{bundle.manifest.version}"


def _read_picture(row: SplitRow, data: Path) -> bytes:
    path = data / row.path
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise GraftError(
            f"there is no picture {path}: use --data to name the folder that the new model was "
            "trained on"
        ) from None
    if row.sha256 not in ("", hashlib.sha256(content).hexdigest()):
        raise GraftError(
            f"{path} is not the picture that the new model was tested on: use --data to name the "
            "folder that the new model was trained on, or train the model again on this folder"
        )
    return content
