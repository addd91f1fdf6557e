"""Finds labels that may be wrong or missing, by heads on the embeddings of the frozen backbone.

As for single-label models, the pictures of all splits are used, and neither the model nor its test
is affected.
"""

from __future__ import annotations

import numpy as np

from trainers.guidance.advice import Advice
from trainers.guidance.label_errors import find_multi_label_suspects
from trainers.guidance.learning_curve import LearningCurve
from trainers.heads.folds import split_into_folds
from trainers.multi_label.linear import predict_out_of_fold
from trainers.phases.advising import MAX_OUTPUTS, MAX_PICTURES, NO_TIME
from trainers.phases.context import TrainingContext
from trainers.phases.head_phase import draw_sample, extract_embeddings
from trainers.progress import log
from trainers.resources.time_budget import TimeBudgetSpentError

NO_CURVE = LearningCurve.unknown("it is not measured if pictures have several labels")


def advise(context: TrainingContext, strength: float) -> Advice:
    """Find labels that may be wrong or missing. No learning curve is measured.

    Args:
        strength: the value of C of the head of the run.
    """
    dataset, budget = context.dataset, context.time_budget
    most = min(MAX_PICTURES, MAX_OUTPUTS // len(dataset.classes))
    sample = draw_sample(context, np.arange(len(dataset.paths)), most)
    pictures = context.pictures_of_rows(sample.rows)
    try:
        budget.check()
        embeddings = extract_embeddings(context, pictures, 1, budget).read_all()
        targets = dataset.targets[sample.rows]
        folds = split_into_folds(dataset.labels[sample.rows], sample.groups, sample.draws)
        with context.progress.step("looking for wrong labels"):
            (probabilities,) = predict_out_of_fold(embeddings, targets, folds, (strength,), budget)
    except TimeBudgetSpentError:
        return Advice.unknown(NO_TIME)
    suspects = find_multi_label_suspects(probabilities, targets, sample.rows)
    advice = Advice(suspects, NO_CURVE)
    log.info("%s", advice)
    return advice
