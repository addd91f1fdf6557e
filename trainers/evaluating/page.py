"""The HTML page of an evaluation: the sections of a report that need no training.

The template extends the report's template: the single-label one or the multi-label one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.bundle.manifest import Manifest
from trainers.dataset.folders.filenames import escape
from trainers.evaluating.classifying import Answers
from trainers.multi_label import report
from trainers.reporting.measured_sections import measured_sections
from trainers.reporting.report import templates

MAX_REFUSED, MAX_UNKNOWN_CLASSES = 20, 30
"""The page lists at most this many; metrics.json has all."""


def render(manifest: Manifest, metrics: Mapping[str, Any], answers: Answers) -> str:
    """Return the page, without scripts or links.

    Args:
        metrics: the result of `measuring.measure`.
    """
    if manifest.is_multi_label:
        parent = "multi_label_report.html"
        sections = report.measured_sections(manifest, metrics, answers.pictures)
    else:
        parent = "report.html"
        sections = measured_sections(manifest, metrics, answers.pictures, answers.known)
    return (
        templates(Path(__file__).parent, Path(report.__file__).parent)
        .get_template("evaluation.html")
        .render(
            sections,
            parent=parent,
            is_drawn=False,  # whatever the model was trained on, it was measured on this folder
            folder=escape(answers.pictures.scan.data_path.resolve().name),
            refused=metrics["refused"][:MAX_REFUSED],
            unknown_classes=[*metrics["unknown_classes"].items()][:MAX_UNKNOWN_CLASSES],
        )
    )
