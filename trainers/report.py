"""report.html: one page, without scripts or links, that says how good the model is and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import markupsafe

from service.bundle import Manifest

_WIDTH, _HEIGHT, _LEFT, _TOP = 350, 100, 40, 10  # of the plot inside its 400 x 130 picture


def write(path: Path, manifest: Manifest, metrics: Mapping[str, Any], counts: str) -> None:
    """Write the page.

    Args:
        path: the file.
        manifest: of the bundle that the page lies in.
        metrics: the content of metrics.json.
        counts: how many pictures of how many classes there are, in words.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    curves = [
        _curve(name, rows) for name, rows in metrics["phases"].items() if rows and "loss" in rows[0]
    ]
    template = environment.get_template("report.html")
    page = template.render(
        manifest=manifest,
        metrics=metrics,
        curves=curves,
        counts=counts,
        percent=percent,
        marked=marked,
    )
    path.write_text(page, encoding="utf-8")


def percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.1f}%"


def marked(text: str) -> markupsafe.Markup:
    """Text in which `names` stand in backticks, as HTML."""
    escaped = str(markupsafe.escape(text))
    return markupsafe.Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped))


def _curve(name: str, rows: Sequence[Mapping[str, float | None]]) -> dict[str, Any]:
    losses = [row[key] for row in rows for key in ("loss", "val_loss")]
    top = max((loss for loss in losses if loss is not None), default=1.0)
    return {
        "name": name,
        "top": top,
        "epochs": len(rows),
        "train": _points([row["loss"] for row in rows], top),
        "validation": _points([row["val_loss"] for row in rows], top),
    }


def _points(values: Sequence[float | None], top: float) -> str:
    """The line of a plot; it ends where training diverged."""
    step = _WIDTH / max(1, len(values) - 1)
    return " ".join(
        f"{_LEFT + at * step:.1f},{_TOP + _HEIGHT * (1 - value / (top or 1)):.1f}"
        for at, value in enumerate(values)
        if value is not None
    )
