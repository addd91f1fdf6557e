"""A finding about a dataset: as text, in the log, in findings.json and in a bundle.

A finding is a warning or an error. An error makes the reported figures untrue, or training
impossible. `--strict` stops at either.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from trainers.dataset.dataset import Dataset
from trainers.dataset.folders.filenames import format_names
from trainers.progress import log

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One kind of problem: what, where, and what to do.

    Attributes:
        paths: all of them, relative to the folder.
        groups: of a finding about duplicates, the same paths, group by group.
    """

    kind: str
    severity: Severity
    message: str
    paths: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...] = ()

    def __str__(self) -> str:
        shown = [" = ".join(group[:4]) for group in self.groups] or list(self.paths)
        return f"{self.severity}: {self.message}\n  {self.kind}: {format_names(shown, 3)}"


def counted(
    kind: str,
    text: str,
    paths: Sequence[str],
    noun: str = "picture",
    severity: Severity = "warning",
) -> Finding:
    """A finding whose message starts with the number of paths.

    Args:
        text: the rest of the message; {they}, {them}, {their} and {are} follow the number.
        noun: what a path is, in the singular.
    """
    is_one = len(paths) == 1
    words = {
        "they": "it" if is_one else "they",
        "them": "it" if is_one else "them",
        "their": "its" if is_one else "their",
        "are": "is" if is_one else "are",
    }
    plural = "es" if noun == "class" else "s"
    message = f"{len(paths):,} {noun}{'' if is_one else plural} {text.format(**words)}"
    return Finding(kind, severity, message, tuple(paths))


def log_findings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        log.warning("%s", finding)


def list_notes(dataset: Dataset) -> list[str]:
    """How the folder was understood, and what is left out without being a finding, in lines."""
    reasons: dict[str, list[str]] = {}
    for file in dataset.left_out:
        if not file.kind:
            reasons.setdefault(file.reason, []).append(file.path)
    lines = [
        f"left out: {format_names(paths, 3)}: {'each ' if len(paths) > 1 else ''}{reason}"
        for reason, paths in reasons.items()
    ]
    return [*dataset.layout.notes, *lines]


def summarize(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The findings for metrics.json and the report, with counts in place of paths."""
    return [
        {
            "kind": finding.kind,
            "severity": finding.severity,
            "message": finding.message,
            "n": len(finding.paths),
        }
        for finding in findings
    ]


def to_dict(dataset: Dataset, findings: Sequence[Finding]) -> dict[str, Any]:
    """The content of findings.json: every path of every finding, and every file left out."""
    return {
        "pictures": len(dataset.paths),
        "classes": dataset.class_counts(),
        "notes": list(dataset.layout.notes),
        "findings": [asdict(finding) for finding in findings],
        "left_out": [asdict(file) for file in dataset.left_out],
    }


def write_json(path: Path, dataset: Dataset, findings: Sequence[Finding]) -> None:
    """Write findings.json."""
    text = json.dumps(to_dict(dataset, findings), indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
