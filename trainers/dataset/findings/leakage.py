"""Findings about sources: frames of one video in several splits make any model look good."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from trainers.dataset.dataset import Dataset, some
from trainers.dataset.findings.finding import Finding

PATTERN = r"^(.+?)[\W_]*\d+\.\w+$"
"""A path whose name ends in a number; the group is all before it."""
LEAST_FRAMES = 5
"""Of a source: fewer are no video."""
SAME_STEP = 0.5
"""Share of the steps between numbers that are alike in a video of which some frames were dropped;
times of day, which end many photos' names, have none."""
_WORDS = re.compile(r"frame|clip|video|movie|scene|sequence", re.IGNORECASE)


def examine(dataset: Dataset) -> Iterator[Finding]:
    """Sources (--group) in several of the folder's own splits; without --group, names like those of
    numbered frames."""
    if dataset.sources:
        yield from _across_splits(dataset)
    else:
        yield from _numbered(dataset)


def _across_splits(dataset: Dataset) -> Iterator[Finding]:
    splits: dict[str, set[str]] = {}
    for name, part in zip(dataset.sources, dataset.splits, strict=True):
        splits.setdefault(name, set()).add(part)
    torn = {name for name, found in splits.items() if name and len(found) > 1}
    if torn:
        pairs = zip(dataset.sources, dataset.paths, strict=True)
        message = (
            f"{len(torn):,} source{'' if len(torn) == 1 else 's'} (--group) with pictures in "
            "different splits: the test asks what was learned by heart; move each to one split, or "
            "let Graft split"
        )
        paths = tuple(path for name, path in pairs if name in torn)
        yield Finding("source_across_splits", "error", message, paths)


def _numbered(dataset: Dataset) -> Iterator[Finding]:
    sources: dict[tuple[int, str], list[str]] = {}
    for path, label in zip(dataset.paths, dataset.labels.tolist(), strict=True):
        if found := re.search(PATTERN, path):
            sources.setdefault((label, found.group(1)), []).append(path)
    videos = {key: paths for key, paths in sources.items() if _is_video(paths, key[1])}
    per_class = Counter(label for label, _ in videos)
    videos = {
        (label, name): paths
        for (label, name), paths in videos.items()
        if _WORDS.search(_inner(name, dataset.classes[label]))
        or (per_class[label] > 1 and re.search(r"\d", _inner(name, dataset.classes[label])))
    }
    frames = tuple(path for paths in videos.values() for path in paths)
    if 2 * len(frames) > len(dataset.paths):
        such = some([f"{name} ({len(paths)})" for (_, name), paths in videos.items()], 3)
        message = (
            f"{len(frames):,} pictures are named like numbered frames of {len(videos):,} sources, "
            f"such as {such}: frames of one source in training and test make the figures too good; "
            f"keep them together, e.g. by --group '{PATTERN}'"
        )
        yield Finding("numbered_frames", "warning", message, frames)


def _is_video(paths: Sequence[str], name: str) -> bool:
    """Whether the numbers after the name go on in steps of one size."""
    numbers = sorted({int(digits[-1]) for path in paths if (digits := _digits(path, name))})
    steps = Counter(later - earlier for earlier, later in pairwise(numbers))
    if len(numbers) < LEAST_FRAMES:
        return False
    return steps.most_common(1)[0][1] >= SAME_STEP * steps.total()


def _digits(path: str, name: str) -> list[str]:
    return re.findall(r"\d+", path[len(name) :].rpartition(".")[0])


def _inner(name: str, label: str) -> str:
    """The part of a name behind the class folder: its digits are none of the source."""
    parts = name.split("/")
    return "/".join(parts[parts.index(label) + 1 :]) if label in parts else parts[-1]
