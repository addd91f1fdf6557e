"""Classifies the pictures of an evaluation set exactly as the service would."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.bundle.reading import Bundle
from service.engine.autotune import autotune
from service.engine.device import load_predictor
from service.errors import GraftError, RequestError, UnreadableFile
from service.scoring.files import score_files
from service.settings import Settings
from trainers.evaluating.evaluation_set import EvaluationSet, decode_lazily
from trainers.evaluating.table import open_table
from trainers.evaluation.predictions import Predictions
from trainers.progress import Progress


class NothingMeasuredError(GraftError):
    """The model has no answer to any picture of its classes."""


@dataclass(frozen=True)
class Answers:
    """What a model says about the n pictures of an evaluation set, in their order.

    Attributes:
        pictures: the pictures.
        probabilities: (n, classes) float32; zeros for a picture without an answer.
        novelty: (n,) float64; NaN for a picture without an answer, or if the model cannot tell.
        refusals: the errors of pictures without an answer, by their position.
    """

    pictures: EvaluationSet
    probabilities: NDArray[np.float32]
    novelty: NDArray[np.float64]
    refusals: dict[int, RequestError | UnreadableFile]

    @cached_property
    def is_answered(self) -> NDArray[np.bool_]:
        """(n,) whether there is an answer to the picture."""
        answered = np.ones(len(self.probabilities), np.bool_)
        answered[list(self.refusals)] = False
        return answered

    @cached_property
    def known(self) -> Predictions:
        """The answers to the pictures whose class the model knows; the accuracy is theirs."""
        rows = np.flatnonzero(self.is_answered & self.pictures.is_known)
        return Predictions(rows, self.pictures.labels[rows], self.probabilities[rows])


def classify(
    chosen: EvaluationSet, bundle: Bundle, settings: Settings, folder: Path, progress: Progress
) -> Answers:
    """Classify every picture with the service's scheduler, and write predictions.csv.

    A picture that the service would refuse has no answer. Of each picture, only the probabilities
    and the novelty are kept.

    Args:
        settings: the settings of the service, such as the limits on pictures.
        folder: the folder for predictions.csv.

    Raises:
        NothingMeasuredError: there is no answer to any picture whose class the model knows.
        BundleError, SettingError: the model cannot be loaded, or not on the device of GRAFT_DEVICE.
    """
    config = autotune(bundle, settings).choice
    predictor = load_predictor(bundle, settings.device, config.session_threads, config.sessions)
    count = len(chosen.files)
    probabilities = np.zeros((count, len(chosen.classes)), np.float32)
    novelty, refusals = np.full(count, np.nan), {}
    paths = (str(file.path) for file in chosen.files)
    with (
        open_table(folder, predictor, settings) as write_row,
        closing(score_files(paths, predictor, config, settings)) as results,
    ):
        for row, scored in enumerate(progress.track(results, count, "classifying")):
            write_row(chosen.files[row], scored)
            if scored.classification:
                probabilities[row], _, value = scored.classification
                novelty[row] = np.nan if value is None else value
            elif scored.error:
                refusals[row] = scored.error
    answers = Answers(decode_lazily(chosen, predictor, settings), probabilities, novelty, refusals)
    if not len(answers.known.rows):
        row, error = min(refusals.items())
        raise NothingMeasuredError(
            f"{chosen.scan.data_path}: no picture of a class of the model could be classified; "
            f"the first one is {chosen.files[row].name}: {error}"
        )
    return answers
