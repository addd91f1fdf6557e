"""What to do next, as it is written to metrics.json and to CSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainers.dataset.dataset import Dataset
from trainers.guidance.label_errors import Suspects
from trainers.guidance.learning_curve import LearningCurve

MAX_RECORDED = 100
"""metrics.json lists at most this many suspects; suspects.csv lists all of them."""
SUSPECTS_FILE, CURVE_FILE = "suspects.csv", "learning_curve.csv"
_SUSPECT_COLUMNS = (
    *("rank", "path", "sha256", "split", "label", "suggested_label"),
    *("label_score", "suggested_score"),
)
_CURVE_COLUMNS = ("pictures", "accuracy", "low", "high", "kind")


@dataclass(frozen=True)
class Advice:
    """The labels to check, and what more pictures would bring."""

    suspects: Suspects
    curve: LearningCurve

    @classmethod
    def unknown(cls, reason: str) -> Advice:
        """Return the advice if nothing could be measured."""
        return cls(Suspects.unknown(reason), LearningCurve.unknown(reason))

    def __str__(self) -> str:
        suspects = self.suspects
        labels = f"{len(suspects.rows)} of {suspects.examined:,} pictures may have wrong labels"
        if suspects.reason:
            labels = f"labels were not examined, because {suspects.reason}"
        return f"{labels}. {self.curve.summary}"

    def record(self, dataset: Dataset) -> dict[str, Any]:
        """Return `suspects` and `learning_curve` for metrics.json."""
        suspects, curve = self.suspects, self.curve
        return {
            "suspects": {
                "count": len(suspects.rows),
                "examined": suspects.examined,
                "reason": suspects.reason,
                "pictures": list(_rows(suspects, dataset))[:MAX_RECORDED],
            },
            "learning_curve": asdict(curve),
        }

    def write_csv(self, folder: Path, dataset: Dataset) -> None:
        """Write suspects.csv and learning_curve.csv; without results, they have only a header."""
        _write(folder / SUSPECTS_FILE, _SUSPECT_COLUMNS, _rows(self.suspects, dataset))
        points = [("measured", point) for point in self.curve.points]
        points += [("fitted", point) for point in (self.curve.now, self.curve.twice) if point]
        rows = ({**asdict(point), "kind": kind} for kind, point in points)
        _write(folder / CURVE_FILE, _CURVE_COLUMNS, rows)


def _rows(suspects: Suspects, dataset: Dataset) -> Iterator[dict[str, Any]]:
    if dataset.is_multi_label:
        suggestions = [dataset.join_labels(chosen) for chosen in suspects.suggested]
    else:
        suggestions = [dataset.classes[label] for label in suspects.suggested]
    columns = (
        *(suspects.rows.tolist(), dataset.names(suspects.rows), suggestions),
        *(suspects.label_scores.tolist(), suspects.suggested_scores.tolist()),
    )
    for rank, (row, label, suggested, label_score, suggested_score) in enumerate(
        zip(*columns, strict=True), 1
    ):
        yield {
            "rank": rank,
            "path": dataset.paths[row],
            "sha256": dataset.digests[row],
            "split": dataset.splits[row],
            "label": label,
            "suggested_label": suggested,
            "label_score": round(label_score, 4),
            "suggested_score": round(suggested_score, 4),
        }


def _write(path: Path, columns: Sequence[str], rows: Iterator[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
