"""Put a new model in the old one's place if it is no worse: `python -m trainers.promote NEW`.

Both answer the new one's test pictures that the old one has not been trained on; what decides is
the accuracy on these, through the predictor that serves.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import math
import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from service.cli.arguments import Parser
from service.errors import BundleError, GraftError
from service.system.interrupts import INTERRUPTED, TERMINATED, ended_by
from trainers.progress import log, set_up_logging

if TYPE_CHECKING:
    from service.bundle.manifest import Bundle
    from service.imaging import configure_process

WRONG_USE = 2
_Z95 = 1.959964  # normal quantile of a two-sided 95% interval


@dataclass(frozen=True)
class Comparison:
    """Two models on the same pictures.

    Attributes:
        n: pictures.
        new, old: accuracies, 0 to 1.
        low, high: 95% interval of new - old.
    """

    n: int
    new: float
    old: float
    low: float
    high: float

    @property
    def is_no_worse(self) -> bool:
        return self.new >= self.old


def compare(new: Sequence[bool], old: Sequence[bool]) -> Comparison:
    """Compare right and wrong answers to the same pictures, in the same order.

    The interval is that of Agresti and Min (2005) for matched pairs: half a picture is added to
    each of the four cells, so that it has a width also where both answer all alike.
    """
    n = len(new)
    gained = sum(one and not other for one, other in zip(new, old, strict=True))
    lost = sum(other and not one for one, other in zip(new, old, strict=True))
    difference = (gained - lost) / (n + 2)
    width = _Z95 * math.sqrt((gained + lost + 1) / (n + 2) - difference**2) / math.sqrt(n + 2)
    return Comparison(n, sum(new) / n, sum(old) / n, difference - width, difference + width)


def newest(folder: Path) -> Bundle:
    """The bundle that this folder is, or the newest of those in it.

    Raises:
        BundleError: there is none, or it is damaged.
    """
    from service.bundle.manifest import MANIFEST, Bundle

    if (folder / MANIFEST).is_file():
        return Bundle.read(folder)
    found = [Bundle.read(path.parent) for path in sorted(folder.glob(f"*/{MANIFEST}"))]
    if not found:
        raise BundleError(f"no bundle in {folder}: name a bundle, or the --output of a run")
    return max(found, key=lambda bundle: bundle.manifest.created)


@dataclass(frozen=True)
class Picture:
    """A line of a bundle's split.csv.

    Attributes:
        path: relative to the data folder.
        sha256: of the file; empty in bundles from before it was recorded.
        label: its class.
        split: train, validation or test.
    """

    path: str
    sha256: str
    label: str
    split: str


def unseen(new: Bundle, old: Bundle) -> list[Picture]:
    """The new one's test pictures, without those that the old one learned from.

    Pictures are the same by content, whatever they are called; by path where a bundle does not
    record contents.

    Raises:
        BundleError: no picture is left, so there is nothing to compare by.
    """
    asked = [picture for picture in _split(new) if picture.split == "test"]
    learned = [picture for picture in _split(old) if picture.split != "test"]
    if all(picture.sha256 for picture in (*asked, *learned)):
        known = {picture.sha256 for picture in learned}
        kept = [picture for picture in asked if picture.sha256 not in known]
    else:
        log.warning(
            "pictures are told apart by path, for one of the bundles does not record what they "
            "hold: a picture that was renamed since counts, even if the old model learned from it"
        )
        known = {picture.path for picture in learned}
        kept = [picture for picture in asked if picture.path not in known]
    if not kept:
        raise BundleError(
            f"{old.path} was trained on all {len(asked)} test pictures of {new.path}: train the "
            "new one with the old one's --seed, which keeps test pictures apart for good"
        )
    return kept


def right(bundle: Bundle, pictures: Iterable[Picture], data: Path) -> list[bool]:
    """Is the model's best class the true one? For each picture, in their order.

    Raises:
        GraftError: a picture is not there, is another one now or cannot be decoded, or the model
            cannot be loaded.
    """
    from service.engine.predictor import Predictor
    from service.system.resources import usable_cores

    predictor = Predictor(bundle, usable_cores())
    answers = []
    for picture in pictures:
        image = predictor.decode(_content(picture, data))
        best = int(predictor.predict(image[None])[0].argmax())
        answers.append(predictor.classes[best] == picture.label)
    return answers


def _content(picture: Picture, data: Path) -> bytes:
    path = data / picture.path
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise GraftError(f"no {path}: name the folder trained on by --data") from None
    if picture.sha256 not in ("", hashlib.sha256(content).hexdigest()):
        raise GraftError(
            f"{path} is not the picture that the new model was tested on: name the folder trained "
            "on by --data, or train the new model on this one"
        )
    return content


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 0 decided, either way; 2 wrong use."""
    set_up_logging(is_quiet=False)
    codes = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
    with ended_by(codes, lambda: "graft: stopped"):
        try:
            print(_decide(_parser().parse_args(arguments)))
        except (GraftError, OSError) as error:
            log.error("graft: %s", error)
            return WRONG_USE
    return 0


def _decide(options: argparse.Namespace) -> str:
    from service.bundle import store
    from service.bundle.manifest import Bundle

    configure_process()
    new = newest(options.new)
    old = Bundle.read(store.resolve(options.over or f"{new.manifest.name}:latest"))
    if new.manifest.name != old.manifest.name:
        raise BundleError(
            f"{new.path} is called {new.manifest.name}, the one to replace {old.manifest.name}: "
            "only a model of the same name can take its place"
        )
    pictures = unseen(new, old)
    found = compare(*(right(bundle, pictures, options.data) for bundle in (new, old)))
    tags = [f"{one.manifest.name}:{one.manifest.version}" for one in (new, old)]
    log.info(
        "%d pictures: %s is right on %.4f, %s on %.4f; difference %.4f to %.4f (95%% interval)",
        *(found.n, tags[0], found.new, tags[1], found.old, found.low, found.high),
    )
    if not found.is_no_worse:
        return _stay(new, old, tags[1])
    log.info("no worse: %s is the latest now", tags[0])
    return store.save(new)


def _stay(new: Bundle, old: Bundle, tag: str) -> str:
    """The old one stays the latest, or is it again: a run makes its own model the latest."""
    from service.bundle import store
    from service.bundle.manifest import Bundle

    if Bundle.read(store.resolve(new.manifest.name)).manifest.id != new.manifest.id:
        log.info("worse: %s stays", tag)
        return tag
    log.info("worse: %s is the latest again", tag)
    return store.save(old)


def _split(bundle: Bundle) -> Iterable[Picture]:
    with (bundle.path / "split.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield Picture(row["path"], row.get("sha256") or "", row["class"], row["split"])


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m trainers.promote",
        description="Make a new model `latest` in BentoML's store if it is no worse than the old.",
        epilog="Exit codes: 0 decided, the last line is the latest model; 2 wrong use.",
        allow_abbrev=False,
    )
    parser.add_argument("new", type=Path, metavar="NEW", help="bundle, or folder with bundles")
    parser.add_argument(
        "--over",
        metavar="MODEL",
        help="model to replace, a BentoML tag or a bundle (the latest of the new one's name)",
    )
    parser.add_argument(
        "--data", type=Path, default=Path("data"), metavar="DIR", help="the pictures (data)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
