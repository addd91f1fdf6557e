"""Findings about leakage: pictures of one source, such as frames of a video, in several splits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from trainers.dataset.dataset import Dataset
from trainers.dataset.findings.finding import Finding
from trainers.dataset.folders.filenames import format_names

FRAME_PATTERN = r"^(.+?)[\W_]*\d+\.\w+$"
"""Matches a path that ends in a number and a suffix; captures the part before the number."""
MIN_FRAMES = 5
"""Numbered pictures may be frames of a video if they have at least this many different numbers."""
MIN_SHARE_OF_STEPS = 0.5
"""Numbered pictures may be frames of a video if at least this share of the steps between their
numbers are equal. Not all steps need to be equal, because frames may be missing. If names end in a
time of day, as those of many photos do, the steps differ."""
_VIDEO_WORDS = re.compile(r"frame|clip|video|movie|scene|sequence", re.IGNORECASE)


def find_leaks(dataset: Dataset, _: int) -> Iterator[Finding]:
    """Find sources (--group) in several splits, or, without --group, pictures named like frames."""
    if dataset.sources:
        yield from _sources_across_splits(dataset)
    else:
        yield from _numbered_frames(dataset)


def _sources_across_splits(dataset: Dataset) -> Iterator[Finding]:
    splits: dict[str, set[str]] = {}
    for source, split in zip(dataset.sources, dataset.splits, strict=True):
        splits.setdefault(source, set()).add(split)
    leaking = {source for source, names in splits.items() if source and len(names) > 1}
    if leaking:
        pairs = zip(dataset.sources, dataset.paths, strict=True)
        message = (
            f"pictures of {len(leaking):,} source{'' if len(leaking) == 1 else 's'} (--group) are "
            "in different splits: test pictures resemble training pictures, so the measured "
            "accuracy is too high. Move all pictures of a source to one split, or remove the split "
            "folders and let Graft split the pictures"
        )
        paths = tuple(path for source, path in pairs if source in leaking)
        yield Finding("source_across_splits", "error", message, paths)


def _numbered_frames(dataset: Dataset) -> Iterator[Finding]:
    sources: dict[tuple[str, str], list[str]] = {}
    names = dataset.names(np.arange(len(dataset.paths)))
    for path, label in zip(dataset.paths, names, strict=True):
        if match := re.search(FRAME_PATTERN, path):
            sources.setdefault((label, match.group(1)), []).append(path)
    videos = {key: paths for key, paths in sources.items() if _is_video(paths, key[1])}
    per_class = Counter(label for label, _ in videos)
    videos = {
        (label, name): paths
        for (label, name), paths in videos.items()
        if _VIDEO_WORDS.search(_strip_class(name, label))
        or (per_class[label] > 1 and re.search(r"\d", _strip_class(name, label)))
    }
    frames = tuple(path for paths in videos.values() for path in paths)
    if 2 * len(frames) > len(dataset.paths):
        examples = format_names(
            [f"{name} ({len(paths)} pictures)" for (_, name), paths in videos.items()], 3
        )
        message = (
            f"{len(frames):,} pictures have names like numbered frames of {len(videos):,} "
            f"source{'' if len(videos) == 1 else 's'} (such as videos), e.g. {examples}: if frames "
            "of one source are in both training and test, the measured accuracy is too high. If "
            "they are frames, use --group to keep the frames of each source in one split, e.g. "
            f"--group '{FRAME_PATTERN}'"
        )
        yield Finding("numbered_frames", "warning", message, frames)


def _is_video(paths: Sequence[str], name: str) -> bool:
    """Whether the numbers after the name look like those of frames.

    There are at least MIN_FRAMES numbers, and at least MIN_SHARE_OF_STEPS of the steps are equal.
    """
    numbers = sorted({int(digits[-1]) for path in paths if (digits := _numbers(path, name))})
    steps = Counter(later - earlier for earlier, later in pairwise(numbers))
    if len(numbers) < MIN_FRAMES:
        return False
    return steps.most_common(1)[0][1] >= MIN_SHARE_OF_STEPS * steps.total()


def _numbers(path: str, name: str) -> list[str]:
    return re.findall(r"\d+", path[len(name) :].rpartition(".")[0])


def _strip_class(name: str, label: str) -> str:
    """Return the part of a name below the class folder.

    The class folder is removed because digits in its name do not identify a source.
    """
    parts = name.split("/")
    return "/".join(parts[parts.index(label) + 1 :]) if label in parts else parts[-1]
