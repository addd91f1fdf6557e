"""Summarises how well the scores of several models are calibrated.

The calibration error is pooled: the test pictures of all models are divided into ranges by score,
and the differences between mean score and accuracy are averaged over all pictures. So the error of
calibrated models is close to 0, although the error of a single test of 150 pictures is not (the
noise floor).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np


def summarise(records: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the rows of the table."""
    temperatures = [record["temperature"] for record in records]
    means = {
        name: np.mean([record[name] for record in records])
        for name in ("accuracy", "error", "error_before", "noise_floor")
    }
    confident = [band for record in records for band in record["bands"] if band["low"] >= 0.9]
    answers = sum(band["n"] for band in confident)
    return {
        "test accuracy, mean": f"{means['accuracy']:.3f}",
        "temperature": f"{min(temperatures):.2f} to {max(temperatures):.2f}",
        "calibration error, pooled over the seeds": f"{pooled_error(records):.4f}",
        "calibration error of a single test, mean": f"{means['error']:.4f}",
        "the same without temperature": f"{means['error_before']:.4f}",
        "the same if perfectly calibrated (noise floor)": f"{means['noise_floor']:.4f}",
        "right answers among those with a score of at least 90%": (
            f"{sum(band['correct'] for band in confident) / answers:.3f} of {answers}"
            if answers
            else "-"
        ),
    }


def pooled_error(records: Sequence[dict[str, Any]]) -> float:
    """Return the expected calibration error of the test pictures of all models together."""
    gaps: dict[float, float] = defaultdict(float)
    for row in (row for record in records for row in record["bins"]):
        gaps[row["low"]] += row["correct"] - row["n"] * row["score"]
    count = sum(row["n"] for record in records for row in record["bins"])
    return sum(map(abs, gaps.values())) / count
