"""Graft with its default options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tool import run


def train(plugin: str, weights: str, work: Path, seed: int) -> Any:
    """Train a classifier on work/pictures/train; Graft chooses the validation pictures itself."""
    from trainers import train

    return train(plugin, work / "pictures", weights=weights, seed=seed, output=work / "artifacts")


def classify(result: Any, folder: Path) -> tuple[list[list[float]], list[int]]:
    from service.bundle.reading import Bundle
    from service.engine.predictor import Predictor

    predictor = Predictor(Bundle.read(result.bundle))
    files = sorted(folder.glob("*/*"))
    labels = [predictor.classes.index(path.parent.name) for path in files]
    rows = [predictor.predict(predictor.decode(path.read_bytes())[None])[0] for path in files]
    return [row.tolist() for row in rows], labels


if __name__ == "__main__":
    run(train, classify)
