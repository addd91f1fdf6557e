"""The HTML page of an evaluation: the sections of a report that need no training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.bundle.manifest import Manifest
from trainers.dataset.folders.filenames import escape
from trainers.evaluating.classifying import Answers
from trainers.reporting.measured_sections import measured_sections
from trainers.reporting.report import templates

MAX_REFUSED, MAX_UNKNOWN_CLASSES = 20, 30
"""The page lists at most this many; metrics.json has all."""


def render(manifest: Manifest, metrics: Mapping[str, Any], answers: Answers) -> str:
    """Return the page, without scripts or links.

    Args:
        metrics: the result of `measuring.measure`.
    """
    return (
        templates(Path(__file__).parent)
        .get_template("evaluation.html")
        .render(
            measured_sections(manifest, metrics, answers.pictures, answers.known),
            is_drawn=False,  # whatever the model was trained on, it was measured on this folder
            folder=escape(answers.pictures.scan.data_path.resolve().name),
            refused=metrics["refused"][:MAX_REFUSED],
            unknown_classes=[*metrics["unknown_classes"].items()][:MAX_UNKNOWN_CLASSES],
        )
    )
