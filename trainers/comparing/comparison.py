"""The result of a comparison of backbones: as a table for the terminal, and as JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from service.bundle import summary
from trainers.comparing.candidates import CandidateResult, Figures, Recommendation
from trainers.config import TrainingConfig
from trainers.dataset import samples
from trainers.dataset.dataset import Dataset
from trainers.dataset.findings import finding
from trainers.dataset.findings.finding import Finding
from trainers.dataset.folders.filenames import SPLITS

RULE = (
    "The recommended backbone is the fastest of those whose validation accuracy is at most one "
    "standard error below the best. (The standard error says by how much the accuracy would "
    "typically differ on other pictures of the same kind.) Backbones that take at most 10% longer "
    "than the fastest count as equally fast; the most accurate of these is recommended."
)
_HEADER = (
    *("", "backbone", "input px", "validation accuracy", "test accuracy (95% interval)"),
    *("ms/picture", "MB", "parameters", "embedding length", "seconds"),
)


@dataclass(frozen=True)
class Comparison:
    """Everything that the table, the JSON file and the page show.

    Attributes:
        results: one for each backbone, in the order of --plugins.
        findings: problems that the check of the folder found.
        config: the options, which apply to every backbone.
    """

    results: Sequence[CandidateResult]
    recommendation: Recommendation
    dataset: Dataset
    findings: Sequence[Finding]
    config: TrainingConfig

    @property
    def command(self) -> str:
        """The command that trains the recommended backbone."""
        return self.recommendation.candidate.training_command(self.config)

    @property
    def identity(self) -> str:
        """A short hash of pictures, split, backbones, image sizes, --seed and --flip."""
        config, dataset = self.config, self.dataset
        candidates = [result.candidate for result in self.results]
        parts = [dataset.fingerprint, *dataset.splits, config.seed, config.flip]
        sizes = [candidate.image_size(config) for candidate in candidates]
        text = "\n".join(map(str, [*parts, *sizes, *candidates]))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def measured(self) -> list[tuple[CandidateResult, Figures]]:
        """The backbones that could be measured, the fastest first."""
        pairs = [(result, result.figures) for result in self.results if result.figures]
        return sorted(pairs, key=lambda pair: pair[1].inference_ms)

    def left_out(self) -> list[CandidateResult]:
        """The backbones that could not be measured."""
        return [result for result in self.results if not result.figures]


def table(comparison: Comparison) -> str:
    """Format the result for the terminal: a table, the recommendation, and a training command."""
    recommended = comparison.recommendation
    text = []
    if samples.is_sample_dataset(comparison.dataset.folder):
        text.append(
            f"Measured on {summary.DRAWN}, not on yours. To use yours, add --data YOUR_FOLDER."
        )
    text += _align([_HEADER, *_rows(comparison)])
    for result in comparison.left_out():
        reason = result.problem.splitlines()[0] if result.problem else "the error has no message"
        text.append(f"   {result.candidate.label}: left out: {reason}")
    if any(figures.were_kept for _, figures in comparison.measured()):
        text.append("   * without the time for the embeddings, which were already in the cache")
    text += ["", f"Use {recommended.candidate.label}: {recommended.reason}. Train it with:"]
    return "\n".join([*text, f"  {comparison.command}", ""])


def _rows(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    for result, figures in comparison.measured():
        low, high = figures.test_interval
        yield (
            ">" if result.candidate == comparison.recommendation.candidate else "",
            result.candidate.label,
            str(figures.image_size),
            f"{figures.validation_accuracy:.1%}",
            f"{figures.test_accuracy:.1%} ({100 * low:.1f} to {100 * high:.1f})",
            f"{figures.inference_ms:.1f}",
            f"{figures.model_bytes / 1e6:.1f}",
            f"{figures.parameters:,}",
            str(figures.width),
            f"{figures.seconds:.1f}{'*' if figures.were_kept else ' '}",
        )


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Pad the cells of each column to one width; align the first two left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        words = [cell.ljust(width) for cell, width in zip(row[:2], widths, strict=False)]
        figures = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        lines.append("  ".join([*words, *figures]).rstrip())
    return lines


def record(comparison: Comparison) -> dict[str, Any]:
    """The content of the JSON file. Figures are not rounded; backbones are in --plugins order."""
    dataset, recommended = comparison.dataset, comparison.recommendation
    return {
        "plugin": recommended.candidate.plugin,
        "weights": recommended.candidate.weights,
        "reason": recommended.reason,
        "rule": RULE,
        "command": comparison.command,
        "candidates": [
            {
                "plugin": result.candidate.plugin,
                "weights": result.candidate.weights,
                "is_near_the_best": result.candidate in recommended.near_best,
                **(asdict(result.figures) if result.figures else {"problem": result.problem}),
            }
            for result in comparison.results
        ],
        "data": {
            "folder": str(dataset.title),
            "source": summary.DRAWN
            if samples.is_sample_dataset(dataset.folder)
            else summary.FOLDER,
            "fingerprint": dataset.fingerprint,
            "classes": list(dataset.classes),
            "pictures": {split: len(dataset.rows(split)) for split in SPLITS},
            "findings": finding.summarize(comparison.findings),
        },
        "seed": comparison.config.seed,
        "packages": {name: version(name) for name in ("keras", "onnxruntime")},
    }
