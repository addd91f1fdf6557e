"""Does a backbone keep its promises? `python -m trainers.conformance NAME` tries each of them.

This is a command line: alone in this package it may call the trainer, whose export and parity
check are promises, too. The tests of Graft's own backbones call the same `check`.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plugins.base import Backbone, BackboneError
from plugins.registry import resolve
from trainers.conformance import promises, training_promises
from trainers.conformance.promises import BrokenPromiseError, Finding, Promise, Trial

if TYPE_CHECKING:
    from trainers.model.classifier import Classifier


def exports(trial: Trial) -> str:
    """A classifier on it becomes ONNX and SavedModel."""
    from trainers.exporting import export

    export.export(_classifier(trial), trial.folder)
    return " and ".join(export.FORMATS)


def agrees(trial: Trial) -> str:
    """The exported classifiers answer as Keras does, in batches of several sizes."""
    from service.errors import ParityError
    from trainers.exporting import export

    pictures = trial.images.astype("uint8")
    try:
        parity = export.check_parity(_classifier(trial), trial.folder, pictures)
    except ParityError as error:
        raise BrokenPromiseError(
            f"{str(error).partition(';')[0]}: a layer is random at inference, or one of its "
            "operations means something else in the other format"
        ) from error
    largest = max(parity["max_difference"].values())
    sizes = ", ".join(str(size) for size in parity["batch_sizes"])
    return f"probabilities differ by at most {largest:.1g} in batches of {sizes}"


def _classifier(trial: Trial) -> Classifier:
    """Two classes by random weights, on embeddings of length 1 or so.

    With the trainer's own head, untrained, every export would agree; and it standardises, which
    blows up the rounding of float32 where random networks tell pictures apart by very little.
    """
    import keras

    from trainers.model.classifier import Classifier, build_embedder

    embed = build_embedder(trial.body)
    embeddings = keras.ops.convert_to_numpy(embed(trial.images, training=False))
    length = float((embeddings**2).sum(axis=1).mean()) ** 0.5
    embedding = keras.Input(embeddings.shape[1:])
    initial = keras.initializers.RandomNormal(stddev=1.0, seed=0)
    dense = keras.layers.Dense(2, activation="softmax", kernel_initializer=initial)
    scaled = keras.layers.Rescaling(1 / length)(embedding)
    head = keras.Model(embedding, dense(scaled))
    return Classifier(trial.backbone, trial.body, embed, head, weights_sha256="")


SIZES = range(32, 1025)
"""Sides of pictures in pixels, as a run takes them."""

PROMISES: dict[str, Promise] = {
    "parameters": promises.counts,
    "smallest size": promises.builds_smallest,
    "scaling": promises.scales,
    "answers": promises.answers,
    "freezing": training_promises.freezes,
    "fine-tuning": training_promises.fine_tunes,
    "training": training_promises.trains,
    "weights file": training_promises.comes_back,
    "copies": training_promises.copies,
    "export": exports,
    "parity": agrees,
}
"""In the order in which they are tried; before them, that the network builds at all."""


def check(backbone: Backbone, size: int | None = None) -> Iterator[Finding]:
    """Try every promise of a backbone, with random weights, in a minute or so.

    Args:
        size: side of the pictures in pixels; None for 64, or the smallest where that is more.
    """
    with tempfile.TemporaryDirectory() as folder:
        yield from promises.examine(backbone, Path(folder), PROMISES, size)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 0 all kept, 2 a broken promise or no such name."""
    parser = argparse.ArgumentParser(
        prog="python -m trainers.conformance",
        description="Try what every backbone promises on one.",
    )
    parser.add_argument("name", help="FAMILY[:VARIANT], as --plugin takes it")
    parser.add_argument(
        "--image-size", type=_size, help="side of the pictures, 32 to 1024 (default: 64 or so)"
    )
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("tensorflow", "tf2onnx"):  # the findings say what matters of theirs
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        backbone = resolve(options.name)
    except BackboneError as error:
        print(f"graft: {error}", file=sys.stderr)
        return 2
    broken = 0
    for finding in check(backbone, options.image_size):
        print(finding, flush=True)
        broken += not finding.is_kept
    print(f"{backbone.name}: {f'{broken} broken' if broken else 'keeps every promise'}")
    return 2 if broken else 0


def _size(text: str) -> int:
    size = int(text)
    if size not in SIZES:
        raise argparse.ArgumentTypeError(f"{size} pixels; a run takes 32 to 1024")
    return size


if __name__ == "__main__":
    sys.exit(main())
