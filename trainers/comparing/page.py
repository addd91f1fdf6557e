"""The HTML page of a comparison, and the JSON file beside it."""

from __future__ import annotations

import json
from pathlib import Path

from service.bundle import summary
from trainers.comparing.comparison import RULE, Comparison, record
from trainers.dataset import samples
from trainers.dataset.dataset import Dataset
from trainers.dataset.splits import splitting
from trainers.evaluation.metrics import wilson_interval
from trainers.reporting import scatter
from trainers.reporting.report import templates
from trainers.reporting.scatter import Dot, DotKind

PLOTS = (("wide-plot", 720, True), ("narrow-plot", 340, False))
"""For each plot: CSS class, width in pixels, and whether names (not numbers) label the dots.

The page contains both plots, and shows the one that fits the window.
"""
MAX_CLASSES = 30
"""The page lists at most this many class names, and says how many more there are."""


def write(comparison: Comparison, work: Path, output: Path) -> Path:
    """Write compare-ID.html and compare-ID.json to `output`; return the path of the page.

    Each file is replaced as a whole, so neither is incomplete if the process is killed.

    Args:
        work: a folder for temporary files, on the file system of `output`.
    """
    page = output / f"compare-{comparison.identity}.html"
    content = json.dumps(record(comparison), indent=2, allow_nan=False) + "\n"
    for path, text in ((page.with_suffix(".json"), content), (page, render(comparison))):
        (work / path.name).write_text(text, encoding="utf-8")
        (work / path.name).replace(path)
    return page


def render(comparison: Comparison) -> str:
    """The page as HTML, without scripts or links."""
    dataset = comparison.dataset
    return (
        templates()
        .get_template("comparison.html")
        .render(
            comparison=comparison,
            recommended=comparison.recommendation,
            measured=comparison.measured(),
            left_out=comparison.left_out(),
            plots=[
                (
                    name,
                    scatter.scatter(
                        _dots(comparison, has_names), comparison.recommendation.threshold, width
                    ),
                )
                for name, width, has_names in PLOTS
            ],
            rule=RULE,
            folder=_title(dataset),
            counts=splitting.describe(dataset),
            classes=dataset.classes[:MAX_CLASSES],
            more_classes=max(0, len(dataset.classes) - MAX_CLASSES),
        )
    )


def _title(dataset: Dataset) -> str:
    return summary.DRAWN if samples.is_sample_dataset(dataset.folder) else dataset.title.name


def _dots(comparison: Comparison, has_names: bool) -> list[Dot]:
    """One dot for each backbone, labelled with its name or with its row number in the table."""
    recommended = comparison.recommendation
    dots = []
    for number, (result, figures) in enumerate(comparison.measured(), 1):
        share, count = figures.validation_accuracy, figures.validation_pictures
        low, high = wilson_interval(round(share * count), count) or (share, share)
        kind: DotKind = "near" if result.candidate in recommended.near_best else "far"
        if result.candidate == recommended.candidate:
            kind = "chosen"
        name = result.candidate.label
        dots.append(
            Dot(
                name,
                name if has_names else str(number),
                figures.inference_ms,
                share,
                low,
                high,
                figures.model_bytes,
                kind,
            )
        )
    return dots
