"""Measures how well the novelty finds pictures of a class that the model was not trained on.

Each class is held out in turn, or MAX_HELD_OUT of them. A head is trained on the references of the
other classes, and must call the pictures of this class more novel than validation pictures of the
others. A fine-tuned network has seen the class, so then these figures are too high.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine.classification import ModelOutputs
from service.engine.references import References
from trainers.novelty.embedded_pictures import EmbeddedPictures
from trainers.novelty.fitting import fit_novelty, fit_references
from trainers.resources.blas_threads import one_blas_thread

MAX_HELD_OUT = 10
"""At most this number of classes is held out."""
MAX_CLASSES = 20
"""Of more classes, only as many are used, so that the heads are quick to train."""
MAX_PICTURES = 600
"""Of more references or validation pictures, only as many are used."""
INVERSE_REGULARISATION = 0.01
"""C of logistic regression, the default of `trainers.heads.linear`."""


def measure_held_out(
    train: EmbeddedPictures, validation: EmbeddedPictures, classes: tuple[str, ...]
) -> dict[str, Any] | None:
    """Return the AUROC of the novelty for pictures of a held-out class, for metrics.json.

    The AUROC is the probability that a picture of the held-out class is more novel than a
    validation picture of another class.

    Returns:
        auroc, probability_auroc: the mean AUROC of the novelty, and that of the highest
            probability, which is low for unknown pictures.
        classes: both figures for each held-out class.
        None if there are fewer than 3 classes: a head needs 2.
    """
    present = _spread(np.unique(train.labels), MAX_CLASSES)
    if len(present) < 3:
        return None
    train, validation = (part.sample(present, MAX_PICTURES) for part in (train, validation))
    rows = [
        {"label": classes[index], **figures}
        for index in _spread(present, MAX_HELD_OUT)
        if (figures := _hold_out(train, validation, index))
    ]
    if not rows:
        return None
    names = ("auroc", "probability_auroc")
    means = {name: float(np.mean([row[name] for row in rows])) for name in names}
    return {**means, "classes": rows}


def _hold_out(
    train: EmbeddedPictures, validation: EmbeddedPictures, held_out: int
) -> dict[str, float] | None:
    """Return the AUROC for one held-out class; None with fewer than two known pictures."""
    from sklearn.metrics import roc_auc_score

    trained, known = train.labels != held_out, validation.labels != held_out
    if known.sum() < 2:
        return None
    references = fit_references(train.embeddings[trained], train.rows[trained])
    unknown = np.concatenate([train.embeddings[~trained], validation.embeddings[~known]])
    head = _Head(references, train.labels[trained])
    others = validation.embeddings[known]
    figures = []
    # Fit the scales on one half of the known pictures, and measure the other half.
    for half in range(2):
        novelty = fit_novelty(references, head.run(others[half::2]))
        outputs = [head.run(part) for part in (others[1 - half :: 2], unknown)]
        is_unknown = np.repeat([False, True], [len(part.embeddings) for part in outputs])
        novelties = np.concatenate([novelty.measure(part) for part in outputs])
        highest = np.concatenate([part.probabilities.max(axis=1) for part in outputs])
        figures.append([roc_auc_score(is_unknown, values) for values in (novelties, -highest)])
    auroc, probability_auroc = np.mean(figures, axis=0)
    return {"auroc": float(auroc), "probability_auroc": float(probability_auroc)}


class _Head:
    """Logistic regression on the coordinates of the references."""

    def __init__(self, references: References, labels: NDArray[np.int64]) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        squares = (references.positions**2).sum(axis=0) + references.heights
        variance = float(squares.mean()) / len(references.centre)  # of a feature
        self._references, self._scale = references, np.float32(1 / np.sqrt(max(variance, 1e-12)))
        self._model = LogisticRegression(C=INVERSE_REGULARISATION, tol=1e-2)
        with one_blas_thread(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", "The number of unique classes")
            self._model.fit(references.positions.T * self._scale, labels)

    def run(self, embeddings: NDArray[np.float32]) -> ModelOutputs:
        positions, _ = self._references.project(embeddings)
        probabilities = self._model.predict_proba(positions * self._scale)
        return ModelOutputs(probabilities.astype(np.float32), embeddings)


def _spread(values: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return at most `count` of the values, at equal distances."""
    return values[np.linspace(0, len(values) - 1, min(count, len(values))).astype(np.int64)]
