"""Writes report.html: one page, without scripts or links, that shows how good the model is.

It also shows how the model was chosen, which classes it confuses, and which files were left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
import numpy as np

from service.bundle.manifest import Manifest
from service.cli.eta import format_duration
from trainers.dataset import splitting
from trainers.dataset.dataset import Dataset
from trainers.evaluation.predictions import Predictions
from trainers.reporting import charts
from trainers.reporting.charts import Axis, Line
from trainers.reporting.measured_sections import MAX_IN_TABLE, measured_sections

MAX_LEFT_OUT = 20
"""The report shows at most this many files that were left out. metrics.json contains all of them.
"""

Row = Mapping[str, float | None]


def write(
    path: Path,
    manifest: Manifest,
    metrics: Mapping[str, Any],
    dataset: Dataset,
    predictions: Predictions,
) -> None:
    """Write the report.

    Args:
        path: the file to write.
        manifest: the manifest of the bundle that the report describes.
        metrics: the content of metrics.json.
        dataset: the dataset that the model was trained on, with decoded pictures.
        predictions: the predictions for the test pictures.
    """
    page = (
        templates()
        .get_template("report.html")
        .render(
            measured_sections(manifest, metrics, dataset, predictions),
            balance=_weight_effect(metrics),
            curves=list(_curves(metrics)),
            counts=splitting.describe(dataset),
            left_out=[file for file in metrics["left_out"] if not file["kind"]],
            max_left_out=MAX_LEFT_OUT,
            provenance=list(_flatten(manifest.provenance)),
        )
    )
    path.write_text(page, encoding="utf-8")


def templates(*folders: Path) -> jinja2.Environment:
    """Return a Jinja2 environment for the templates in this folder, and in others.

    It escapes values, and raises an error for a name that is not defined.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "code": code, "format_duration": format_duration}
    environment.filters["sentence"] = sentence
    return environment


def percent(share: float | None) -> str:
    """Format a share, 0 to 1, as a percentage; None as a dash."""
    return "–" if share is None else f"{100 * share:.1f}%"


def code(text: str) -> markupsafe.Markup:
    """Convert text to HTML, with names in backticks and options such as --flip as <code>."""
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(markupsafe.escape(text)))
    option = r'\1<code class="option">\2</code>'
    return markupsafe.Markup(re.sub(r"(^|[\s(])(--[a-z][a-z-]+)", option, escaped))


def sentence(text: str) -> str:
    """Capitalise the first letter and add a full stop."""
    return text[:1].upper() + text[1:] + "."


def _weight_effect(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The effect of class weights on the recall of each class, as rows of a table.

    The class with the fewest training pictures comes first. There are no rows if the effect was not
    measured, which happens if the classes are balanced or the time budget was spent.
    """
    train = metrics["train"]["per_class"]
    rows = [
        {**row, "label": label, "train": train[label]["n"], "weight": train[label]["weight"]}
        for label, row in (metrics["balance"] or {}).items()
    ]
    return sorted(rows, key=lambda row: row["train"])[:MAX_IN_TABLE]


def _curves(metrics: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield plots of loss and accuracy for each phase. A line marks the best epoch or C value."""
    for phase, rows in metrics["phases"].items():
        if not rows:
            continue
        if "C" in rows[0]:
            axis = Axis("C (weaker regularisation to the right)", [row["C"] for row in rows], True)
        else:
            axis = Axis("epoch", range(1, len(rows) + 1))
        best = _best_row(phase, rows, metrics)
        mark = None
        if best >= 0:
            verb = "is used" if metrics["shipped"]["phase"] == phase else "was best by loss"
            mark = (best, f"{'C =' if 'C' in rows[0] else 'epoch'} {axis.values[best]:g} {verb}")
        yield {
            "name": phase,
            "is_search": "C" in rows[0],
            "plots": [
                charts.curves("Loss", axis, _lines(rows, "loss"), mark),
                charts.curves("Accuracy (%)", axis, _lines(rows, "accuracy", 100), mark),
            ],
        }


def _best_row(phase: str, rows: Sequence[Row], metrics: Mapping[str, Any]) -> int:
    """The index of the best row (an epoch or a value of C) of a phase; -1 if there is none."""
    if phase != "head":  # fine-tuning selects by the loss with penalties, which rows do not have
        return int(metrics["shipped"]["best_fine_tuning_epoch"]) - 1
    losses = [row["val_loss"] for row in rows]
    known = [row for row, loss in enumerate(losses) if loss is not None and np.isfinite(loss)]
    return min(known, key=lambda row: losses[row] or 0.0, default=-1)


def _lines(rows: Sequence[Row], name: str, factor: float = 1) -> list[Line]:
    """Return the curves of `loss` or `accuracy`, multiplied by `factor` (100 for percent).

    There is a curve for validation, and one for training if it was measured.
    """
    names = {"training": name, "validation": f"val_{name}"}
    return [
        Line(split, [None if (value := row[key]) is None else factor * value for row in rows])
        for split, key in names.items()
        if key in rows[0]
    ]


def _flatten(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the names and values of nested mappings as rows of a table."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name} ")
        elif value is not None:
            yield f"{prefix}{name}".replace("_", " "), value
