"""Runs two models on the same pictures, in the predictor that the service uses."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.bundle.reading import Bundle
from service.engine.onnx_session import CPU
from service.engine.predictor import Predictor
from service.errors import GraftError, RequestError
from service.system.resources import usable_cores
from trainers.dataset.splits.split_table import SplitRow
from trainers.evaluation import calibration
from trainers.progress import Progress
from trainers.promoting.unseen_pictures import UnusablePicture, read_picture

TIMED = 200
"""The latency is measured with this many pictures, one after another. All others are classified on
all cores at the same time."""


@dataclass(frozen=True)
class Answers:
    """The answers of one model to n pictures.

    Attributes:
        hits: (n,) whether the answer is correct.
        scores: (n,) probability of the predicted class, 0 to 1.
        true_scores: (n,) probability of the true class, 0 to 1.
        latency_ms: median time to decode and classify one picture. On a processor, this is the time
            of one core without the time of other programs.
    """

    hits: NDArray[np.bool_]
    scores: NDArray[np.float32]
    true_scores: NDArray[np.float32]
    latency_ms: float

    @property
    def correct(self) -> int:
        """Number of correct answers."""
        return int(self.hits.sum())

    @property
    def log_loss(self) -> float:
        """The mean cross-entropy in nats."""
        return float(-np.log(np.clip(self.true_scores.astype(np.float64), 1e-7, 1)).mean())

    @property
    def calibration_error(self) -> float:
        """The expected calibration error, 0 to 1."""
        return calibration.calibration_error(self.scores, self.hits)

    @cached_property
    def calibration_noise(self) -> float:
        """The calibration error that a perfectly calibrated model would have by chance."""
        return calibration.noise_floor(self.scores)


@dataclass(frozen=True)
class SideBySide:
    """The answers of two models to the same pictures.

    Attributes:
        labels: the true class of each picture.
        new, old: the answers of the two models, in the same order.
        unusable: the paths of pictures that could not be compared, by reason.
    """

    labels: list[str]
    new: Answers
    old: Answers
    unusable: Mapping[str, list[str]]


@dataclass(frozen=True)
class _Answer:
    is_correct: bool
    score: float
    true_score: float
    seconds: float


_Result = tuple[_Answer, _Answer] | str
"""The answers of both models to a picture, or why they cannot be compared on it."""


def run_side_by_side(
    new: Bundle, old: Bundle, rows: Sequence[SplitRow], folder: Path, progress: Progress
) -> SideBySide:
    """Classify pictures with both models.

    Each picture is classified by one model right after the other, so that a change in the speed of
    the machine affects both models alike.

    Args:
        rows: the pictures; both models have their classes.
        folder: the folder that the paths of `rows` are relative to.

    Raises:
        GraftError: a model cannot be loaded, or none of the pictures can be used.
    """
    models = [Predictor(bundle, threads=1, sessions=usable_cores()) for bundle in (new, old)]
    results = _ask_all(partial(_ask, models=models, folder=folder), rows)
    answers, labels, unusable = [], [], defaultdict(list)
    for row, result in zip(rows, progress.track(results, len(rows), "comparing"), strict=True):
        if isinstance(result, str):
            unusable[result].append(row.path)
        else:
            answers.append(result)
            labels.append(row.label)
    if not answers:
        raise GraftError(
            f"none of the {len(rows)} pictures that are new to both models can be used "
            f"({describe_unusable(unusable)}): use --data to name the folder that the models were "
            f"trained on (now: {folder})"
        )
    of_new, of_old = zip(*answers, strict=True)
    return SideBySide(labels, _collect(of_new), _collect(of_old), unusable)


def describe_unusable(unusable: Mapping[str, Sequence[str]]) -> str:
    """Say how many pictures could not be compared and why, with one path for each reason."""
    return "; ".join(
        f"{len(paths)} {reason}, e.g. {paths[0]}" for reason, paths in unusable.items()
    )


def _ask_all(
    ask: Callable[[SplitRow, int], _Result], rows: Sequence[SplitRow]
) -> Iterator[_Result]:
    """Yield the result of each picture: TIMED of them one by one, then all others in parallel."""
    position = timed = 0
    while position < len(rows) and timed < TIMED:
        result = ask(rows[position], position)
        position, timed = position + 1, timed + (not isinstance(result, str))
        yield result
    with ThreadPoolExecutor(usable_cores()) as threads:
        yield from threads.map(ask, rows[position:], range(len(rows)))


def _ask(row: SplitRow, number: int, models: Sequence[Predictor], folder: Path) -> _Result:
    """Return the answers of both models to one picture, or why it cannot be compared.

    Args:
        number: if it is odd, the second model is asked first, so that neither is always first.
    """
    try:
        data = read_picture(row, folder)
        order = (1, 0) if number % 2 else (0, 1)
        answers = {index: _answer(models[index], data, row.label) for index in order}
    except UnusablePicture as error:
        return str(error)
    return answers[0], answers[1]


def _answer(predictor: Predictor, data: bytes, label: str) -> _Answer:
    # A call with one thread runs in this thread, so its processor time is that of this thread.
    clock = time.thread_time if predictor.provider == CPU else time.perf_counter
    started = clock()
    try:
        image = predictor.decode(data)
    except RequestError as error:  # for example a format that only the other model was trained on
        tag = predictor.bundle.manifest.tag
        raise UnusablePicture(f"are refused by {tag} ({error.code})") from error
    probabilities = predictor.predict(image[np.newaxis])[0]
    seconds = clock() - started
    best, true = int(probabilities.argmax()), predictor.classes.index(label)
    return _Answer(best == true, float(probabilities[best]), float(probabilities[true]), seconds)


def _collect(answers: Sequence[_Answer]) -> Answers:
    return Answers(
        np.array([answer.is_correct for answer in answers]),
        np.array([answer.score for answer in answers], np.float32),
        np.array([answer.true_score for answer in answers], np.float32),
        1000 * float(np.median([answer.seconds for answer in answers[:TIMED]])),
    )
