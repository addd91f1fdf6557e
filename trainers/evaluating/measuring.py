"""Computes the figures of an evaluation from the answers of the model."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle.reading import Bundle
from service.engine.classification import KNOWN_SHARE
from trainers.dataset.findings import files, finding
from trainers.evaluating.classifying import Answers
from trainers.evaluating.evaluation_set import describe
from trainers.evaluation.calibration import measure_calibration
from trainers.evaluation.metrics import evaluate, wilson_interval
from trainers.multi_label import calibration as label_calibration
from trainers.multi_label import metrics as label_metrics

MAX_ANSWERS = 3
"""For each unknown class, the figures have the classes that the model answers most often."""


def measure(answers: Answers, bundle: Bundle, confidence: float) -> dict[str, Any]:
    """Return the content of metrics.json; what a training measures, too, has its names.

    Args:
        confidence: the value of GRAFT_CONFIDENCE, for the sets of labels.

    Returns:
        test, calibration, left_out, findings: as in the metrics.json of a bundle. The test is that
            of the pictures of known classes.
        novelty: the result of `measure_novelty`.
        unknown_classes: what the model answers to the pictures of each class that it does not know;
            empty for a multi-label model.
        refused: the pictures that the service would refuse; they count nowhere.
        seen: number of pictures that are left out, because the model learned from them;
            seen_is_known: whether the bundle records which ones these are.
        notes: the lines of `evaluation_set.describe`.
        model, data: what was measured, and on which folder.
    """
    chosen, manifest = answers.pictures, bundle.manifest
    scan = chosen.scan
    return {
        "model": {"name": manifest.name, "version": manifest.version},
        "data": {
            "folder": str(scan.data_path),
            "fingerprint": chosen.fingerprint,
            "pictures": len(chosen.files),
        },
        "seen": chosen.seen,
        "seen_is_known": chosen.has_record,
        "notes": list(describe(chosen)),
        **_measure_answers(answers, bundle, confidence),
        "novelty": measure_novelty(answers),
        "unknown_classes": _measure_unknown_classes(answers),
        "refused": _list_refused(answers),
        "left_out": [vars(file) for file in scan.left_out],
        "findings": finding.summarize([*files.report_left_out(scan.left_out)]),
    }


def _measure_answers(answers: Answers, bundle: Bundle, confidence: float) -> dict[str, Any]:
    """Return `test` and `calibration`, by the functions that measure a model after its training."""
    known, chosen, true_scores = answers.known, answers.pictures, bundle.true_scores() or []
    if not chosen.is_multi_label:
        return {
            "test": evaluate(known, chosen),
            "calibration": measure_calibration(known, true_scores, confidence),
        }
    chosen_thresholds = bundle.manifest.decision.thresholds
    thresholds = np.array([chosen_thresholds[label] for label in chosen.classes], np.float32)
    return {
        "test": label_metrics.evaluate(known, chosen, thresholds),
        "calibration": label_calibration.measure_calibration(
            known.probabilities, chosen.targets[known.rows], thresholds, true_scores, confidence
        ),
    }


def measure_novelty(answers: Answers) -> dict[str, Any] | None:
    """Measure how well the novelty tells pictures of unknown classes from those of known ones.

    Returns:
        test, unknown_classes: for the pictures of known and of unknown classes, their number `n`,
            and how many of them are called unknown, with their share and its 95% interval.
        auroc, probability_auroc: the probability that a picture of an unknown class has a higher
            novelty, or a lower score, than one of a known class (area under the ROC curve). None
            without pictures of an unknown class.
        The result is None if the model does not measure novelty.
    """
    is_measured = ~np.isnan(answers.novelty)
    if not is_measured.any():
        return None
    is_unknown = ~answers.pictures.is_known[is_measured]
    novelty = answers.novelty[is_measured]
    scores = answers.probabilities[is_measured].max(axis=1)
    return {
        "test": _count_unknown(novelty[~is_unknown]),
        "unknown_classes": _count_unknown(novelty[is_unknown]),
        "auroc": _auroc(is_unknown, novelty),
        "probability_auroc": _auroc(is_unknown, -scores),
    }


def _measure_unknown_classes(answers: Answers) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    chosen = answers.pictures
    if chosen.is_multi_label:
        return figures
    labels = np.array([file.label for file in chosen.files])
    for label in chosen.unknown_classes:
        rows = np.flatnonzero((labels == label) & answers.is_answered)
        given = answers.probabilities[rows]
        counts = Counter(chosen.classes[index] for index in given.argmax(axis=1))
        figures[label] = {
            "n": len(rows),
            "answers": dict(counts.most_common(MAX_ANSWERS)),
            "mean_score": float(given.max(axis=1).mean()) if len(rows) else None,
            "unknown_share": _share_unknown(answers.novelty[rows]),
        }
    return figures


def _list_refused(answers: Answers) -> list[dict[str, str]]:
    refused = []
    for row, error in sorted(answers.refusals.items()):
        file = answers.pictures.files[row]
        entry = {"path": file.name, "class": file.label, "code": error.code, "message": str(error)}
        refused.append(entry)
    return refused


def _share_unknown(novelty: NDArray[np.float64]) -> float | None:
    is_measured = len(novelty) > 0 and not np.isnan(novelty).any()
    return float((novelty > KNOWN_SHARE).mean()) if is_measured else None


def _count_unknown(novelty: NDArray[np.float64]) -> dict[str, Any]:
    count, unknown = len(novelty), int((novelty > KNOWN_SHARE).sum())
    return {
        "n": count,
        "unknown": unknown,
        "unknown_share": unknown / count if count else None,
        "unknown_interval": wilson_interval(unknown, count),
    }


def _auroc(is_unknown: NDArray[np.bool_], values: NDArray[np.floating]) -> float | None:
    from sklearn.metrics import roc_auc_score

    has_both = is_unknown.any() and not is_unknown.all()
    return float(roc_auc_score(is_unknown, values)) if has_both else None
