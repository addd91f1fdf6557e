"""What a check of a folder found: in words, in a file, in a bundle.

Everything found is a warning or an error: an error makes the reported figures untrue, or training
impossible. `--strict` stops at either.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from trainers.dataset.dataset import Dataset, some
from trainers.progress import log

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One kind of trouble: what, where, and what next; all paths, relative to the folder.

    `groups` holds the paths of a finding about duplicates once more, group by group.
    """

    kind: str
    severity: Severity
    message: str
    paths: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...] = ()

    def __str__(self) -> str:
        shown = [" = ".join(group[:4]) for group in self.groups] or list(self.paths)
        return f"{self.severity}: {self.message}\n  {self.kind}: {some(shown, 3)}"


def counted(
    kind: str,
    text: str,
    paths: Sequence[str],
    noun: str = "picture",
    severity: Severity = "warning",
) -> Finding:
    """Begin the text with how many there are, and put its pronouns right."""
    one = len(paths) == 1
    words = {"them": "it" if one else "them", "they": "it" if one else "they"}
    words["their"] = "its" if one else "their"
    words["are"] = "is" if one else "are"
    plural = "es" if noun == "class" else "s"
    message = f"{len(paths):,} {noun}{'' if one else plural} {text.format(**words)}"
    return Finding(kind, severity, message, tuple(paths))


def say(findings: Sequence[Finding]) -> None:
    for finding in findings:
        log.warning("%s", finding)


def notes(dataset: Dataset) -> list[str]:
    """How the folder was understood, and what is left out without being a finding, in lines."""
    reasons: dict[str, list[str]] = {}
    for one in dataset.left_out:
        if not one.kind:
            reasons.setdefault(one.reason, []).append(one.path)
    lines = [
        f"left out: {some(paths, 3)}: {'each ' if len(paths) > 1 else ''}{reason}"
        for reason, paths in reasons.items()
    ]
    return [*dataset.layout.notes, *lines]


def summary(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """For metrics.json and the report: counts in place of all the paths."""
    return [
        {"kind": one.kind, "severity": one.severity, "message": one.message, "n": len(one.paths)}
        for one in findings
    ]


def record(dataset: Dataset, findings: Sequence[Finding]) -> dict[str, Any]:
    """The content of findings.json: every path of every finding, and every file left out; `notes`
    say how the folder was understood."""
    return {
        "pictures": len(dataset.paths),
        "classes": dataset.counts(),
        "notes": list(dataset.layout.notes),
        "findings": [asdict(one) for one in findings],
        "left_out": [asdict(one) for one in dataset.left_out],
    }


def write(path: Path, dataset: Dataset, findings: Sequence[Finding]) -> None:
    text = json.dumps(record(dataset, findings), indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
