"""Findings about files: those that are left out, and those with the wrong suffix."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from service.imaging import FORMATS
from trainers.dataset.dataset import Dataset
from trainers.dataset.findings.finding import Finding, counted
from trainers.dataset.folders.filenames import suffix_of

_SUFFIXES = {kind.name: kind.suffixes for kind in FORMATS}
_LEFT_OUT = {
    "unreadable": "that cannot be read, so left out: replace, rename or delete {them}",
    "pointer": "without {their} content, so left out: fetch it",
    "web_page": "with a web page or a server's answer inside, so left out: download {them} again",
    "empty_file": "of 0 bytes, so left out: copy {them} again from where {they} came from",
    "truncated": "damaged or cut short, so left out: copy {them} again from where {they} came from",
    "too_large": "above the limits for decoding, so left out: shrink {them}",
    "unsupported": "of a format that is not supported, so left out: convert {them} to JPEG or PNG",
    "misplaced": "in no class folder, so left out: move {them} into one",
    "empty_class": "empty, so no class: put the forgotten pictures in, or remove {them}",
}
"""Messages by the kind of `LeftOut`."""
_SELF_EXPLANATORY = ("web_page", "empty_file", "misplaced", "empty_class")
"""Kinds with one possible reason, which the message states."""
_MAX_REASONS = 3


def find_left_out(dataset: Dataset, _: int) -> Iterator[Finding]:
    """Files that somebody meant as pictures and that are not used, by kind."""
    for kind, text in _LEFT_OUT.items():
        files = [file for file in dataset.left_out if file.kind == kind]
        if files:
            noun = "folder" if kind == "empty_class" else "file"
            finding = counted(kind, text, [file.path for file in files], noun)
            if kind not in _SELF_EXPLANATORY:
                # The first reason of each kind: reasons that differ in numbers count as one.
                reasons = {re.sub(r"[\d,]+", "", file.reason): file.reason for file in files[::-1]}
                shown = "; ".join([*reversed(reasons.values())][:_MAX_REASONS])
                finding = replace(finding, message=f"{finding.message} ({shown})")
            yield finding


def find_wrong_suffixes(dataset: Dataset, _: int) -> Iterator[Finding]:
    """Pictures whose suffix is that of another format, or of none."""
    formats = [name.decode() for name in dataset.inspections["format"].tolist()]
    paths = [
        path
        for path, kind in zip(dataset.paths, formats, strict=True)
        if suffix_of(path) not in _SUFFIXES[kind]
    ]
    if paths:
        s = "s" if len(paths) == 1 else ""
        text = (
            f"named for another format than {{they}} hold{s}, or for none, and used by content: "
            "rename {them}"
        )
        yield counted("wrong_extension", text, paths)
