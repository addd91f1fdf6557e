"""Graft with its default options."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def train(plugin: str, weights: str, work: Path, seed: int) -> Any:
    """Train a classifier on work/pictures/train; Graft chooses the validation pictures itself."""
    from trainers import train

    return train(plugin, work / "pictures", weights=weights, seed=seed, output=work / "artifacts")


def main(plugin: str, weights: str, work: str, seed: str) -> None:
    bundle = train(plugin, weights, Path(work), int(seed)).bundle
    started = time.monotonic()
    from service.bundle.reading import Bundle
    from service.engine.predictor import Predictor

    predictor = Predictor(Bundle.read(bundle))
    files = sorted(Path(work, "pictures", "test").glob("*/*"))
    labels = [predictor.classes.index(path.parent.name) for path in files]
    rows = [predictor.predict(predictor.decode(path.read_bytes())[None])[0] for path in files]
    seconds = time.monotonic() - started
    probabilities = [row.tolist() for row in rows]
    result = {"probabilities": probabilities, "labels": labels, "test_seconds": seconds}
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
