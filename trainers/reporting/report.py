"""Writes report.html: one page, without scripts or links, that shows how good the model is.

It also shows how the model was chosen, which classes it confuses, and which files were left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import markupsafe

from service.bundle.manifest import Manifest
from service.bundle.summary import DRAWN, model_warnings
from service.cli.eta import format_duration
from trainers.dataset.dataset import Dataset
from trainers.dataset.splits import splitting
from trainers.evaluation.predictions import Predictions
from trainers.reporting import curves, gallery, tables
from trainers.reporting.measured_sections import measured_sections

MAX_SUSPECTS = 24
"""The report shows at most this many pictures whose label may be wrong."""
MAX_NAME = 24
"""Longer names of classes are shortened."""
MAX_LEFT_OUT = 20
"""The report shows at most this many files that were left out."""


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
            suspects=gallery.suspects(metrics["suspects"], dataset, MAX_SUSPECTS),
            learning_curve=curves.learning_curve(metrics["learning_curve"]),
            warnings=[text for text in model_warnings(manifest) if DRAWN not in text],
            balance=tables.weight_effect(metrics),
            curves=list(curves.training_curves(metrics)),
            counts=splitting.describe(dataset),
            left_out=[file for file in metrics["left_out"] if not file["kind"]],
            max_left_out=MAX_LEFT_OUT,
            provenance=list(tables.flatten(manifest.provenance)),
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
    environment.filters |= {"sentence": sentence, "shorten": shorten}
    environment.filters["shorten_names"] = shorten_names
    return environment


def percent(share: float | None) -> str:
    """Format a share, 0 to 1, as a percentage; None as a dash."""
    return "–" if share is None else f"{100 * share:.1f}%"


def code(text: str) -> markupsafe.Markup:
    """Convert text to HTML, with names in backticks and options such as --flip as <code>."""
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(markupsafe.escape(text)))
    option = r'\1<code class="option">\2</code>'
    return markupsafe.Markup(re.sub(r"(^|[\s(])(--[a-z][a-z-]+)", option, escaped))


def shorten(name: str) -> str:
    """Replace the middle of a name that is longer than MAX_NAME characters by "…".

    Both ends are kept, because long names of classes often differ only at their ends.
    """
    half = MAX_NAME // 2
    return name if len(name) <= MAX_NAME else f"{name[: half - 1]}…{name[-half:]}"


def shorten_names(text: str) -> str:
    """Shorten the names in backticks in a text."""
    return re.sub(r"`([^`]+)`", lambda match: f"`{shorten(match[1])}`", text)


def sentence(text: str) -> str:
    """Capitalise the first letter and add a full stop."""
    return text[:1].upper() + text[1:] + "."
