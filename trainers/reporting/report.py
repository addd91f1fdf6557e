"""report.html: one page, without scripts or links, that says how good the model is and why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
import numpy as np

from service.bundle import summary
from service.bundle.manifest import Manifest
from service.cli.eta import format_duration
from trainers.dataset import splitting
from trainers.dataset.dataset import Dataset
from trainers.evaluation.metrics import Answers, dense
from trainers.reporting import charts, gallery
from trainers.reporting.charts import Axis, Line

MOST_OF_PAIR, MOST_OF_WORST = 6, 24
"""Pictures shown of each confused pair, and of the worst mistakes: 54 with five pairs."""
MOST_IN_MATRIX, MOST_IN_TABLE, MOST_LEFT_OUT = 30, 100, 20
"""Classes and lines that a page can show and stay readable; metrics.json has all."""
_PART_OF_MATRIX = 20

Row = Mapping[str, float | None]


def write(
    path: Path,
    manifest: Manifest,
    metrics: Mapping[str, Any],
    dataset: Dataset,
    answers: Answers,
) -> None:
    """Write the page.

    Args:
        path: the file.
        manifest: of the bundle that the page lies in.
        metrics: the content of metrics.json.
        dataset: the decoded pictures.
        answers: to those of the test.
    """
    test = metrics["test"]
    pairs = [
        (pair, gallery.of_pair(answers, dataset, pair["pair"], MOST_OF_PAIR))
        for pair in test["most_confused"]
    ]
    page = (
        templates()
        .get_template("report.html")
        .render(
            manifest=manifest,
            is_drawn=summary.training_data(manifest)["source"] == summary.DRAWN,
            drawn=summary.DRAWN,
            metrics=metrics,
            test=test,
            charts=charts,
            pairs=pairs,
            worst=gallery.worst(answers, dataset, MOST_OF_WORST),
            wrong=len(answers.mistakes()),
            usual=_usual(test),
            classes=_per_class(metrics),
            balance=_effect(metrics),
            matrix=_matrix(test, manifest.classes),
            curves=list(_curves(metrics)),
            counts=splitting.describe(dataset),
            left_out=[one for one in metrics["left_out"] if not one["kind"]],
            most_left_out=MOST_LEFT_OUT,
            provenance=list(_flat(manifest.provenance)),
        )
    )
    path.write_text(page, encoding="utf-8")


def templates() -> jinja2.Environment:
    """The pages beside this module: whatever is put into them is escaped, and must be there."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "marked": marked,
        "format_duration": format_duration,
    }
    environment.filters["sentence"] = sentence
    return environment


def percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.1f}%"


def marked(text: str) -> markupsafe.Markup:
    """Text in which `names` stand in backticks, as HTML."""
    escaped = str(markupsafe.escape(text))
    return markupsafe.Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped))


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _usual(test: Mapping[str, Any]) -> tuple[str, float] | None:
    """The class with most test pictures, and how often it alone would be the right answer."""
    if not test["n"]:
        return None
    label, figures = max(test["per_class"].items(), key=lambda item: item[1]["n"])
    return label, figures["n"] / test["n"]


def _per_class(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Figures of each class, the weakest first."""
    lessons = metrics["train"]["per_class"]
    rows = [
        {
            **figures,
            "label": label,
            "train": lessons[label]["n"],
            "weight": lessons[label]["weight"],
        }
        for label, figures in metrics["test"]["per_class"].items()
    ]
    return sorted(rows, key=lambda row: row["f1"])[:MOST_IN_TABLE]


def _effect(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What weights change for each class, the rarest first; empty where classes are even."""
    lessons = metrics["train"]["per_class"]
    rows = [
        {**row, "label": label, "train": lessons[label]["n"], "weight": lessons[label]["weight"]}
        for label, row in (metrics["balance"] or {}).items()
    ]
    return sorted(rows, key=lambda row: row["train"])[:MOST_IN_TABLE]


def _matrix(test: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """The confusion matrix, or its most confused part and one column for all other answers."""
    matrix = dense(test["confusion_matrix"])
    chosen = np.arange(len(classes))
    if len(classes) > MOST_IN_MATRIX:
        wrong = matrix.sum(0) + matrix.sum(1) - 2 * matrix.diagonal()
        chosen = np.sort(np.argsort(-wrong, kind="stable")[:_PART_OF_MATRIX])
    part = matrix[np.ix_(chosen, chosen)]
    return {
        "labels": [classes[at] for at in chosen.tolist()],
        "rows": part.tolist(),
        "others": (matrix[chosen].sum(1) - part.sum(1)).tolist(),
        "sums": matrix[chosen].sum(1).tolist(),
        "is_part": len(chosen) < len(classes),
    }


def _curves(metrics: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Plots of loss and accuracy for each phase, with a mark at what was kept."""
    for phase, rows in metrics["phases"].items():
        if not rows:
            continue
        if "C" in rows[0]:
            axis = Axis("C, weaker penalty to the right", [row["C"] for row in rows], True)
        else:
            axis = Axis("epoch", range(1, len(rows) + 1))
        ships = metrics["shipped"]["phase"] == phase
        best = _best(phase, rows, metrics)
        words = "ships" if ships else "is best"
        place = f"{'C' if 'C' in rows[0] else 'epoch'} {axis.places[best]:g}" if best >= 0 else ""
        mark = (best, f"{place} {words}") if best >= 0 else None
        yield {
            "name": phase,
            "is_search": "C" in rows[0],
            "plots": [
                charts.curves(title, axis, _lines(rows, name), mark)
                for title, name in (("Loss", "loss"), ("Accuracy", "accuracy"))
            ],
        }


def _best(phase: str, rows: Sequence[Row], metrics: Mapping[str, Any]) -> int:
    """Index of the row whose weights were kept; -1 where none was any good."""
    if phase != "head":  # it is chosen by its loss with penalties, which no row has
        return int(metrics["shipped"]["best_fine_tuning_epoch"]) - 1
    losses = [row["val_loss"] for row in rows]
    known = [at for at, loss in enumerate(losses) if loss is not None and np.isfinite(loss)]
    return min(known, key=lambda at: losses[at] or 0.0, default=-1)


def _lines(rows: Sequence[Row], name: str) -> list[Line]:
    lines = [Line("training", [row[name] for row in rows])] if name in rows[0] else []
    return [*lines, Line("validation", [row[f"val_{name}"] for row in rows])]


def _flat(content: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of nested objects, as rows of a table."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name} ")
        elif value is not None:
            yield f"{before}{name}".replace("_", " "), value
