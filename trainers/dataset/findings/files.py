"""Findings about files and folders that are left out, and about files with a wrong suffix."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from service.imaging import FORMATS
from trainers.dataset.dataset import Dataset
from trainers.dataset.findings.finding import Finding, make_finding
from trainers.dataset.folders.filenames import suffix_of
from trainers.dataset.folders.scan import LeftOut

_SUFFIXES = {kind.name: kind.suffixes for kind in FORMATS}
_LEFT_OUT = {
    "unreadable": "cannot be read and {are} left out: replace, rename or delete {them}",
    "pointer": "{are} left out because {their} content was not downloaded: download {them}",
    "web_page": "with a web page or an error message of a server instead of a picture {are} left "
    "out: download {them} again",
    "empty_file": "{have} 0 bytes and {are} left out: copy {them} again from where {they} came "
    "from",
    "truncated": "{are} damaged or cut short, and left out: copy {them} again from where {they} "
    "came from",
    "too_large": "{are} too large to decode, and left out: shrink {them}",
    "unsupported": "{are} in a format that is not supported, and left out: convert {them} to JPEG "
    "or PNG",
    "misplaced": "{are} not in a class folder, and left out because {their} class is unknown: "
    "move {them} into one",
    "empty_class": "{are} empty, so the model learns no class from {them}: add the missing "
    "pictures, or remove {them}",
}
"""Messages of findings, by the kind of `LeftOut`."""
_SELF_EXPLANATORY = ("web_page", "empty_file", "misplaced", "empty_class")
"""Kinds of findings with only one possible reason, which the message already gives."""
_MAX_REASONS = 3


def find_left_out(dataset: Dataset, _: int) -> Iterator[Finding]:
    """Find left-out files and folders that were meant as pictures or classes."""
    yield from report_left_out(dataset.left_out)


def report_left_out(left_out: Sequence[LeftOut]) -> Iterator[Finding]:
    """Yield one finding for each kind of left-out files that were meant as pictures or classes."""
    for kind, text in _LEFT_OUT.items():
        files = [file for file in left_out if file.kind == kind]
        if files:
            noun = "folder" if kind == "empty_class" else "file"
            finding = make_finding(kind, text, [file.path for file in files], noun)
            places = tuple(file.place for file in files)
            finding = replace(finding, places=places if any(places) else ())
            if kind not in _SELF_EXPLANATORY:
                # The first of similar reasons: reasons that differ only in numbers are similar.
                reasons = {
                    re.sub(r"[\d,]+", "", file.reason): file.explanation for file in files[::-1]
                }
                shown = "; ".join([*reversed(reasons.values())][:_MAX_REASONS])
                word = "reason" if len(reasons) == 1 else "reasons"
                finding = replace(finding, message=f"{finding.message} ({word}: {shown})")
            yield finding


def find_wrong_suffixes(dataset: Dataset, _: int) -> Iterator[Finding]:
    """Find pictures whose suffix does not belong to their format."""
    formats = [name.decode() for name in dataset.inspections["format"].tolist()]
    paths = [
        path
        for path, kind in zip(dataset.paths, formats, strict=True)
        if "://" not in path  # the address of a picture is no file name
        and suffix_of(path) not in _SUFFIXES[kind]
    ]
    if paths:
        text = (
            "{have} a file extension that does not belong to {their} format. Graft reads the "
            "content, but other programs may be misled: rename {them}"
        )
        yield make_finding("wrong_extension", text, paths)
