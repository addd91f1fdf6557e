"""Classifies the pictures of a split with an exported model."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.engine.classification import ModelOutputs
from service.engine.onnx_session import CUDA
from trainers.dataset.dataset import Dataset
from trainers.dataset.decoded_images import Images
from trainers.progress import Progress, log
from trainers.resources.out_of_memory import AdaptiveBatches

_BATCH, _GPU_BATCH = 8, 32


@dataclass(frozen=True)
class Predictions:
    """The predictions of a model for n pictures of a dataset. All arrays have the same order.

    Attributes:
        rows: (n,) the row of each picture in the dataset.
        labels: (n,) indexes of the true classes.
        probabilities: (n, classes) the probability of each class, 0 to 1.
        embeddings: (n, D) the embeddings; empty if the model has not computed them.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    embeddings: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """(n,) indexes of the predicted classes."""
        predicted: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return predicted

    @cached_property
    def scores(self) -> NDArray[np.float32]:
        """(n,) probabilities of the predicted classes, 0 to 1."""
        scores: NDArray[np.float32] = self.probabilities.max(axis=1)
        return scores

    @cached_property
    def losses(self) -> NDArray[np.float64]:
        """(n,) cross-entropies in nats."""
        return -np.log(np.clip(self._true.astype(np.float64), 1e-7, 1))

    @cached_property
    def ranks(self) -> NDArray[np.int64]:
        """(n,) the rank of the true class by probability, 0 for the highest."""
        ranks: NDArray[np.int64] = (self._true < self.probabilities.T).sum(axis=0)
        return ranks

    @property
    def _true(self) -> NDArray[np.float32]:
        return self.probabilities[np.arange(len(self.labels)), self.labels]

    @property
    def accuracy(self) -> float:
        """The share of correct predictions, 0 to 1."""
        return float((self.labels == self.predicted).mean())

    def with_probabilities_of(self, others: Predictions) -> Predictions:
        """Replace the probabilities by those of other predictions.

        Rows that are not among the others are left out.

        Args:
            others: predictions whose rows are in ascending order, as those of this object.
        """
        is_kept = np.isin(self.rows, others.rows)
        return Predictions(
            self.rows[is_kept],
            self.labels[is_kept],
            others.probabilities[np.isin(others.rows, self.rows)],
            self.embeddings[is_kept],
        )

    def mistakes(self) -> NDArray[np.int64]:
        """Return the indexes of the wrong predictions in the arrays, the highest score first."""
        wrong = np.flatnonzero(self.labels != self.predicted)
        return wrong[np.argsort(-self.scores[wrong], kind="stable")]


class Pictures(Protocol):
    """Labelled pictures: a `Dataset`, or the pictures of another folder. Rows are positions in it.

    Attributes:
        classes: names of the classes of the model, in the order of its probabilities.
        paths: relative to the data folder.
        images: the pictures at the model's input size.
    """

    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def paths(self) -> tuple[str, ...]: ...
    @property
    def images(self) -> Images: ...


class Model(Protocol):
    """A loaded ONNX model: `service.engine.predictor.Predictor`, or an unfinished one."""

    provider: str

    def run(self, images: NDArray[np.uint8]) -> ModelOutputs: ...


def predict_split(
    predictor: Model,
    dataset: Dataset,
    split: str,
    progress: Progress,
    purpose: str = "evaluating",
) -> Predictions:
    """Classify every picture of a split with the exported model.

    Args:
        purpose: the first word of the name of the step, for the log.

    Raises:
        MemoryShortageError: the memory is too small for one picture.
    """
    rows = dataset.rows(split)
    outputs = run_model(predictor, dataset, rows, f"{purpose} on {split}", progress)
    return Predictions(rows, dataset.labels[rows], *outputs)


def run_model(
    predictor: Model, dataset: Dataset, rows: NDArray[np.int64], label: str, progress: Progress
) -> ModelOutputs:
    """Return the outputs of the exported model for some rows of a dataset.

    Args:
        label: the name of the step, for the log.

    Raises:
        MemoryShortageError: the memory is too small for one picture.
    """
    size = _GPU_BATCH if predictor.provider == CUDA else _BATCH
    run = AdaptiveBatches(lambda images: np.hstack(predictor.run(images)), size, label)
    log.info("%s: the exported ONNX model runs in ONNX Runtime on %s", label, predictor.provider)
    count = len(dataset.classes)
    outputs = [np.zeros((0, count), np.float32)]
    with progress.steps(len(rows), label) as advance:
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            outputs.append(run(dataset.images[batch]))
            advance(len(batch))
    joined = np.concatenate(outputs[1:] or outputs)
    return ModelOutputs(joined[:, :count], joined[:, count:])
