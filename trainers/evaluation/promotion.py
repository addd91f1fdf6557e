"""Whether a new model takes the place of an old one: no worse on pictures that are new to both."""

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
from trainers.evaluation.paired import compare_answers
from trainers.progress import log


@dataclass(frozen=True)
class SplitRow:
    """One line of a bundle's split.csv.

    Attributes:
        path: relative to the data folder.
        sha256: of the file; empty in older bundles, which do not record it.
        label: the class.
        split: train, validation or test.
    """

    path: str
    sha256: str
    label: str
    split: str


def promote(new: Bundle, old: Bundle, data: Path) -> str:
    """Make the new model the latest of its name if it is no worse; return the tag of the latest.

    Both models classify the new model's test pictures that the old one has not learned from,
    through the predictor that serves them.

    Args:
        data: the folder with the pictures.

    Raises:
        GraftError: the models or the pictures cannot be compared.
    """
    if new.manifest.name != old.manifest.name:
        raise BundleError(
            f"{new.path} is called {new.manifest.name}, the model to replace is called "
            f"{old.manifest.name}: only a model of the same name can take its place"
        )
    rows = unseen_test_rows(new, old)
    result = compare_answers(correct_answers(new, rows, data), correct_answers(old, rows, data))
    log.info(
        "%d test pictures: accuracy of %s is %.4f, of %s %.4f; difference %+.4f to %+.4f "
        "(95%% interval)",
        *(result.n, tag(new), result.new, tag(old), result.old, result.low, result.high),
    )
    if result.is_no_worse:
        log.info("no worse: %s is the latest now", tag(new))
        return store.save(new)
    return _keep_latest(old, instead_of=new)


def _keep_latest(old: Bundle, instead_of: Bundle) -> str:
    """Keep the old model the latest. A training run has made the new one the latest: undo that."""
    latest = Bundle.read(store.resolve(old.manifest.name))
    if latest.manifest.id != instead_of.manifest.id:
        log.info("worse: %s is still the latest", tag(old))
        return tag(old)
    log.info("worse: %s is the latest again", tag(old))
    return store.save(old)


def find_newest(folder: Path) -> Bundle:
    """Read the bundle in `folder`, or the newest of the bundles in its sub-folders.

    Raises:
        BundleError: there is no bundle, or it is damaged.
    """
    if (folder / MANIFEST).is_file():
        return Bundle.read(folder)
    bundles = [Bundle.read(path.parent) for path in sorted(folder.glob(f"*/{MANIFEST}"))]
    if not bundles:
        raise BundleError(f"no bundle in {folder}: name a bundle, or the --output of a run")
    return max(bundles, key=lambda bundle: bundle.manifest.created)


def unseen_test_rows(new: Bundle, old: Bundle) -> list[SplitRow]:
    """The new model's test pictures, without those that the old model has learned from.

    Pictures are the same if their content is the same, whatever they are called. Where a bundle
    does not record contents, they are compared by path.

    Raises:
        BundleError: no picture is left to compare the models by.
    """
    tested = [row for row in read_split(new) if row.split == "test"]
    learned = [row for row in read_split(old) if row.split != "test"]
    if all(row.sha256 for row in (*tested, *learned)):
        known = {row.sha256 for row in learned}
        unseen = [row for row in tested if row.sha256 not in known]
    else:
        log.warning(
            "pictures are compared by path, because one of the bundles does not record their "
            "contents: a picture that was renamed counts, even if the old model learned from it"
        )
        known = {row.path for row in learned}
        unseen = [row for row in tested if row.path not in known]
    if not unseen:
        raise BundleError(
            f"{old.path} was trained on all {len(tested)} test pictures of {new.path}: train the "
            "new model with the --seed of the old one, which always sets the same pictures aside "
            "for the test"
        )
    return unseen


def correct_answers(bundle: Bundle, rows: Iterable[SplitRow], data: Path) -> list[bool]:
    """Whether the model's best class is the true one, for each picture in turn.

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
    """The content of a bundle's split.csv."""
    with (bundle.path / "split.csv").open(newline="", encoding="utf-8") as file:
        return [
            SplitRow(row["path"], row.get("sha256") or "", row["class"], row["split"])
            for row in csv.DictReader(file)
        ]


def tag(bundle: Bundle) -> str:
    """The tag under which BentoML's store keeps the bundle, NAME:VERSION."""
    return f"{bundle.manifest.name}:{bundle.manifest.version}"


def _read_picture(row: SplitRow, data: Path) -> bytes:
    path = data / row.path
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise GraftError(f"no {path}: name the folder trained on by --data") from None
    if row.sha256 not in ("", hashlib.sha256(content).hexdigest()):
        raise GraftError(
            f"{path} is not the picture that the new model was tested on: name the folder trained "
            "on by --data, or train the new model on this one"
        )
    return content
