"""What came out of a comparison: as a table for the terminal, as JSON, and as one page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from service.bundle import summary
from trainers.comparing.candidates import Choice, Figures, Row
from trainers.config import TrainingConfig
from trainers.dataset import samples, splitting
from trainers.dataset.dataset import Dataset
from trainers.dataset.findings import finding
from trainers.dataset.findings.finding import Finding
from trainers.dataset.folders.filenames import SPLITS
from trainers.evaluation.metrics import wilson_interval
from trainers.reporting import scatter
from trainers.reporting.report import templates
from trainers.reporting.scatter import Dot, Kind

RULE = (
    "the fastest of those whose validation accuracy is within one standard error of the best "
    "(the one-standard-error rule of Breiman et al. 1984); where several are within a tenth of "
    "the fastest time, the most accurate of them"
)
PLOTS = (("wide-plot", 720, True), ("narrow-plot", 340, False))
"""Name, width in pixels, and whether dots have their names: the page shows the plot that fits."""
MOST_CLASSES = 30


@dataclass(frozen=True)
class Comparison:
    """Everything that table, JSON and page say.

    Attributes:
        rows: in the order in which the backbones were named.
        command: the line that trains the chosen one.
        found: what the check of the folder found.
        config: what all backbones share.
    """

    rows: Sequence[Row]
    choice: Choice
    command: str
    dataset: Dataset
    found: Sequence[Finding]
    config: TrainingConfig

    def measured(self) -> list[tuple[Row, Figures]]:
        """Those with figures, the fastest first."""
        rows = [(row, row.figures) for row in self.rows if row.figures]
        return sorted(rows, key=lambda one: one[1].inference_ms)

    def left_out(self) -> list[Row]:
        return [row for row in self.rows if not row.figures]


def table(done: Comparison) -> str:
    """Aligned lines for a terminal, the choice and the command that trains it."""
    text = []
    if samples.is_sample_dataset(done.dataset.folder):
        text.append(f"On {summary.DRAWN}, not on yours: name your own by --data.")
    heads = ("", "backbone", "px", "validation", "test (95% interval)", "ms", "MB", "parameters")
    lines = [(*heads, "width", "seconds")]
    for row, one in done.measured():
        low, high = one.test_interval
        lines.append(
            (
                ">" if row.candidate == done.choice.candidate else "",
                row.candidate.label,
                str(one.image_size),
                f"{one.validation_accuracy:.1%}",
                f"{one.test_accuracy:.1%} ({100 * low:.1f} to {100 * high:.1f})",
                f"{one.inference_ms:.1f}",
                f"{one.model_bytes / 1e6:.1f}",
                f"{one.parameters:,}",
                str(one.width),
                f"{one.seconds:.1f}{'*' if one.were_kept else ' '}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text += ["  ".join(_pad(line, widths)).rstrip() for line in lines]
    for row in done.left_out():
        reason = row.problem.splitlines()[0] if row.problem else "for no reason given"
        text.append(f"   {row.candidate.label}: left out: {reason}")
    if any(one.were_kept for _, one in done.measured()):
        text.append("   * its features were kept from before: the time is that of the head")
    choice = done.choice
    text += ["", f"Take {choice.candidate.label}: {choice.reason}.", f"  {done.command}", ""]
    return "\n".join(text)


def _pad(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    """The first two columns are words, all others figures."""
    return [
        cell.ljust(width) if at < 2 else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]


def record(done: Comparison) -> dict[str, Any]:
    """The content of the JSON file: exact figures, in the order in which backbones were named."""
    dataset = done.dataset
    return {
        "plugin": done.choice.candidate.plugin,
        "weights": done.choice.candidate.weights,
        "reason": done.choice.reason,
        "rule": RULE,
        "command": done.command,
        "candidates": [
            {
                "plugin": row.candidate.plugin,
                "weights": row.candidate.weights,
                "is_near_the_best": row.candidate in done.choice.near,
                **({"problem": row.problem} if row.figures is None else asdict(row.figures)),
            }
            for row in done.rows
        ],
        "data": {
            "folder": str(dataset.title),
            "source": summary.DRAWN
            if samples.is_sample_dataset(dataset.folder)
            else summary.FOLDER,
            "fingerprint": dataset.fingerprint,
            "classes": list(dataset.classes),
            "pictures": {part: len(dataset.rows(part)) for part in SPLITS},
            "findings": finding.summarize(done.found),
        },
        "seed": done.config.seed,
        "packages": {name: version(name) for name in ("keras", "onnxruntime")},
    }


def write(done: Comparison, work: Path, page: Path) -> Path:
    """Write the page and, beside it, the JSON file; each is there whole or not at all.

    Args:
        work: a folder on the same file system.
        page: ends in .html.
    """
    content = json.dumps(record(done), indent=2, allow_nan=False) + "\n"
    for path, text in ((page.with_suffix(".json"), content), (page, render(done))):
        (work / path.name).write_text(text, encoding="utf-8")
        (work / path.name).replace(path)
    return page


def render(done: Comparison) -> str:
    """The page: no scripts, no links to elsewhere."""
    classes = done.dataset.classes
    return (
        templates()
        .get_template("comparison.html")
        .render(
            done=done,
            choice=done.choice,
            measured=done.measured(),
            left_out=done.left_out(),
            plots=[
                (name, scatter.scatter(_dots(done, has_names), done.choice.threshold, width))
                for name, width, has_names in PLOTS
            ],
            rule=RULE,
            folder=name_of(done.dataset),
            counts=splitting.describe(done.dataset),
            classes=classes[:MOST_CLASSES],
            more_classes=max(0, len(classes) - MOST_CLASSES),
        )
    )


def name_of(dataset: Dataset) -> str:
    """What the pictures are called: by their folder, unless they are the drawn ones."""
    return summary.DRAWN if samples.is_sample_dataset(dataset.folder) else dataset.title.name


def _dots(done: Comparison, has_names: bool) -> list[Dot]:
    """Those of the plot, under their names or, where there is little room, their numbers."""
    dots = []
    for number, (row, one) in enumerate(done.measured(), 1):
        share, count = one.validation_accuracy, one.validation_pictures
        low, high = wilson_interval(round(share * count), count) or (share, share)
        kind: Kind = "near" if row.candidate in done.choice.near else "far"
        if row.candidate == done.choice.candidate:
            kind = "chosen"
        name = row.candidate.label
        label = name if has_names else str(number)
        dots.append(Dot(name, label, one.inference_ms, share, low, high, one.model_bytes, kind))
    return dots
