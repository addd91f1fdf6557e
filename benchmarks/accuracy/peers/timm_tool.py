"""A linear probe: logistic regression of scikit-learn on the embeddings of timm's network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lite0 import DEVIATION, MEAN, NAME, SIZE, load_weights
from PIL import Image
from tool import run


def train(_plugin: str, weights: str, work: Path, _seed: int) -> Any:
    """Return the network, and a classifier of its embeddings with scikit-learn's default C."""
    import timm
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    network = timm.create_model(NAME, num_classes=0).eval()
    load_weights(network, weights)
    files = sorted(Path(work, "pictures", "train").glob("*/*"))
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    classifier.fit(embed(network, files), [path.parent.name for path in files])
    return network, classifier


def embed(network: Any, files: list[Path]) -> np.ndarray:
    import torch

    rows = []
    with torch.inference_mode():
        for path in files:
            picture = Image.open(path).convert("RGB").resize((SIZE, SIZE))
            values = (np.asarray(picture, np.float32) / 255 - MEAN) / DEVIATION
            rows.append(network(torch.from_numpy(values.transpose(2, 0, 1)[None]))[0].numpy())
    return np.stack(rows)


def classify(model: Any, folder: Path) -> tuple[list[list[float]], list[int]]:
    network, classifier = model
    files = sorted(folder.glob("*/*"))
    labels = [list(classifier.classes_).index(path.parent.name) for path in files]
    return classifier.predict_proba(embed(network, files)).tolist(), labels


if __name__ == "__main__":
    run(train, classify)
