"""fastai's `vision_learner.fine_tune`, with the augmentation of its tutorials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lite0 import DEVIATION, MEAN, NAME, SIZE, load_weights
from tool import run

BATCH, MIN_BATCHES = 64, 8
EPOCHS = 10


def train(_plugin: str, weights: str, work: Path, seed: int) -> Any:
    """Train the head for an epoch, then all layers with falling learning rates."""
    from fastai.vision.all import (
        ImageDataLoaders,
        Normalize,
        Resize,
        ResizeMethod,
        accuracy,
        aug_transforms,
        get_image_files,
        set_seed,
        vision_learner,
    )

    set_seed(seed)
    folder = work / "pictures" / "train"
    batch = max(4, min(BATCH, int(0.8 * len(get_image_files(folder))) // MIN_BATCHES))
    loaders = ImageDataLoaders.from_folder(
        folder,
        valid_pct=0.2,
        seed=seed,
        bs=batch,
        item_tfms=Resize(SIZE, ResizeMethod.Squish),
        batch_tfms=[*aug_transforms(), Normalize.from_stats([MEAN] * 3, [DEVIATION] * 3)],
        num_workers=2,
    )
    learner = vision_learner(loaders, NAME, pretrained=False, metrics=accuracy)
    load_weights(learner.model[0], weights)
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(EPOCHS)
    return learner


def classify(learner: Any, folder: Path) -> tuple[list[list[float]], list[int]]:
    files = sorted(folder.glob("*/*"))
    labels = [list(learner.dls.vocab).index(path.parent.name) for path in files]
    with learner.no_bar():
        probabilities, _ = learner.get_preds(dl=learner.dls.test_dl(files))
    return probabilities.tolist(), labels


if __name__ == "__main__":
    run(train, classify)
