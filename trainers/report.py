"""report.html: one page, without scripts or links, that says how good the model is and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

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
    curves = [_curve(name, rows) for name, rows in metrics["phases"].items()]
    template = environment.get_template("report.html")
    page = template.render(
        manifest=manifest, metrics=metrics, curves=curves, counts=counts, percent=percent
    )
    path.write_text(page, encoding="utf-8")


def percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.1f}%"


def _curve(name: str, rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    top = max(max(row["loss"], row["val_loss"]) for row in rows)
    return {
        "name": name,
        "top": top,
        "epochs": len(rows),
        "train": _points([row["loss"] for row in rows], top),
        "validation": _points([row["val_loss"] for row in rows], top),
    }


def _points(values: Sequence[float], top: float) -> str:
    step = _WIDTH / max(1, len(values) - 1)
    return " ".join(
        f"{_LEFT + at * step:.1f},{_TOP + _HEIGHT * (1 - value / (top or 1)):.1f}"
        for at, value in enumerate(values)
    )
