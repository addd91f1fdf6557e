"""A finding of a dataset check, and its form in the log, in findings.json and in reports.

A finding is a warning or an error. It is an error if training is impossible, or if the model or its
measured accuracy would be wrong. With --strict, warnings stop a run, too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from trainers.dataset.dataset import Dataset
from trainers.dataset.folders.filenames import format_names
from trainers.dataset.folders.scan import Scan
from trainers.progress import log

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """A problem of one kind in a dataset, with all pictures that have it.

    Attributes:
        kind: the identifier of the problem, such as `near_duplicate`.
        severity: "error" or "warning".
        message: what is wrong, why it matters, and what to do; without a full stop at the end.
        paths: all pictures or folders with the problem, relative to the data folder; if the problem
            concerns classes, the names of the classes.
        groups: the same paths, group by group, if the problem concerns groups, e.g. of duplicates;
            otherwise empty.
        places: where a table of labels names each of `paths`, such as "labels.csv, line 12"; empty
            if no table names them.
    """

    kind: str
    severity: Severity
    message: str
    paths: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...] = ()
    places: tuple[str, ...] = ()

    def __str__(self) -> str:
        shown = [" = ".join(group[:4]) for group in self.groups] or [
            f"{path} ({place})" if place else path
            for path, place in zip_longest(self.paths, self.places)
        ]
        return f"{self.severity}: {self.message}\n  {self.kind}: {format_names(shown, 3)}"


def make_finding(
    kind: str,
    text: str,
    paths: Sequence[str],
    noun: str = "picture",
    severity: Severity = "warning",
) -> Finding:
    """Make a finding whose message starts with the number of paths.

    Args:
        kind: the kind of finding.
        text: the rest of the message. It may contain {they}, {them}, {their}, {are} and {have}. If
            there is only one path, these become the singular: it, it, its, is and has.
        paths: relative to the data folder, or names of classes.
        noun: what each of `paths` is, in the singular: "picture", "file", "folder" or "class".
        severity: "error" or "warning".
    """
    is_one = len(paths) == 1
    words = {
        "they": "it" if is_one else "they",
        "them": "it" if is_one else "them",
        "their": "its" if is_one else "their",
        "are": "is" if is_one else "are",
        "have": "has" if is_one else "have",
    }
    plural = "es" if noun == "class" else "s"
    message = f"{len(paths):,} {noun}{'' if is_one else plural} {text.format(**words)}"
    return Finding(kind, severity, message, tuple(paths))


def log_findings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        log.warning("%s", finding)


def list_notes(folder: Dataset | Scan) -> list[str]:
    """Describe how the folder was understood, and which files are left out without a finding.

    Returns:
        Lines for the log.
    """
    reasons: dict[str, list[str]] = {}
    for file in folder.left_out:
        if not file.kind:
            name = f"{file.path} ({file.place})" if file.place else file.path
            reasons.setdefault(file.reason, []).append(name)
    lines = [
        f"left out: {format_names(paths, 3)}: {'each ' if len(paths) > 1 else ''}{reason}"
        for reason, paths in reasons.items()
    ]
    return [*folder.layout.notes, *lines]


def summarize(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return the findings for metrics.json and the report, with counts instead of paths."""
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
    """Return the content of findings.json: all paths of all findings, and all files left out."""
    return {
        "pictures": len(dataset.paths),
        "classes": dataset.class_counts(),
        "notes": list(dataset.layout.notes),
        "findings": [asdict(finding) for finding in findings],
        "left_out": [asdict(file) for file in dataset.left_out],
    }


def write_json(path: Path, dataset: Dataset, findings: Sequence[Finding]) -> None:
    """Write the content of findings.json to a file, which is complete or unchanged."""
    text = json.dumps(to_dict(dataset, findings), indent=2, ensure_ascii=False)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
