"""Lists the files of a folder or an archive: pictures with their class, and what is left out.

Suffixes decide first; a file without the suffix of a picture is one if its first bytes say so.
`folders.layout` finds the class folders, `inspection` decodes the pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.imaging import SUFFIXES
from trainers.dataset.folders import archives, sniffing
from trainers.dataset.folders.entries import EMPTY, UNPRINTABLE, Entry, list_entries, why_not_opened
from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.filenames import UNLABELLED, escape, is_printable, suffix_of
from trainers.dataset.folders.layout import Layout, detect_layout
from trainers.dataset.folders.suggestions import suggest_folder


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that is not used.

    Attributes:
        path: relative to the data folder.
        kind: of the finding that this is (`findings.files`); "" where nobody meant it as a picture.
    """

    path: str
    reason: str
    kind: str = ""


@dataclass(frozen=True)
class PictureFile:
    """A file that is a picture by its name or its first bytes; nobody has decoded it yet.

    Attributes:
        name: its path relative to the data folder.
        split: a name from SPLITS; "" where the folder does not say.
    """

    path: Path
    name: str
    label: str
    split: str


@dataclass(frozen=True)
class Scan:
    """The content of a folder, in a fixed order.

    Attributes:
        data_path: the folder or the archive, as the user named it.
        folder: where the files are; for an archive, where it is unpacked.
        classes: all class folders, sorted; also those without a readable picture.
        layout: where in the folder the classes are.
    """

    data_path: Path
    folder: Path
    pictures: tuple[PictureFile, ...]
    classes: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    layout: Layout


def scan(data_path: Path) -> Scan:
    """List the files of a folder, or of a Zip or tar archive, and find their classes.

    Raises:
        DataError: the folder is missing, cannot be opened or holds no pictures, or its class
            folders are ambiguous.
    """
    if not is_printable(str(data_path)):
        raise DataError(f"--data {escape(str(data_path))} {UNPRINTABLE.reason}")
    folder = archives.unpack(data_path) if data_path.is_file() else data_path
    if not folder.is_dir():
        raise DataError(f"no folder {folder}; name one with --data{suggest_folder(folder)}")
    if reason := why_not_opened(folder):
        raise DataError(f"--data {folder} {reason}; make it readable for this user")
    entries = list_entries(folder)
    try:
        layout = detect_layout((entry.parts for entry in entries if entry.is_picture), str(folder))
    except DataError as error:
        raise DataError(f"{data_path}: {error}") from None
    files = [_labelled(entry, layout) for entry in entries]
    pictures = tuple(file for file in files if isinstance(file, PictureFile))
    missing = archives.read_left_out(folder) if folder != data_path else []
    left_out = (
        *(file for file in files if isinstance(file, LeftOut)),
        *(_not_unpacked(name, reason) for name, reason in missing),
    )
    if not pictures:
        raise DataError(_no_pictures(data_path, entries, left_out))
    return Scan(data_path, folder, pictures, _classes(entries, layout), left_out, layout)


def _labelled(entry: Entry, layout: Layout) -> PictureFile | LeftOut:
    location = layout.locate(entry.parts)
    label, split = location or ("", "")
    if entry.rejection:
        kind, reason = entry.rejection
        is_beside_classes = location is not None and not label
        if kind == EMPTY.kind and not is_beside_classes:  # it would be no class anyway
            kind = ""
        return LeftOut(entry.name, reason, kind)
    if split == UNLABELLED:
        return LeftOut(entry.name, "lies in a folder of unlabelled pictures")
    if not label:
        return LeftOut(entry.name, "lies in no class folder: move it into one", "misplaced")
    return PictureFile(entry.path, entry.name, label, split)


def _not_unpacked(name: str, reason: str) -> LeftOut:
    is_loss = sniffing.has_picture_suffix(name) or not suffix_of(name)  # perhaps a class folder
    return LeftOut(name, reason, "unreadable" if is_loss else "")


def _no_pictures(data_path: Path, entries: Sequence[Entry], left_out: Sequence[LeftOut]) -> str:
    """The message for a folder without pictures."""
    packed = [entry for entry in entries if suffix_of(entry.path.name) in archives.SUFFIXES]
    hint = f", or name an archive, e.g. --data {packed[0].path}" if packed else ""
    return (
        f"no pictures in the sub-folders of {data_path} (looked for {' '.join(SUFFIXES)}); "
        f"put them into one sub-folder per class, e.g. {data_path}/healthy/1.jpg{hint}"
        + suggest_folder(data_path)
        + format_left_out(left_out)
    )


def _classes(entries: Sequence[Entry], layout: Layout) -> tuple[str, ...]:
    locations = (layout.locate(entry.parts) for entry in entries if entry.is_picture)
    labels = {location[0] for location in locations if location and location[1] != UNLABELLED}
    return tuple(sorted({escape(label) for label in labels if label}))


def format_left_out(left_out: Sequence[LeftOut], limit: int = 5) -> str:
    """The end of a message: what was left out and why, findings first; "" for nothing."""
    ordered = sorted(left_out, key=lambda file: not file.kind)
    lines = [f"\n  {file.path}: {file.reason}" for file in ordered[:limit]]
    if len(ordered) > limit:
        lines.append(f"\n  and {len(ordered) - limit} more")
    return "; left out:" + "".join(lines) if lines else ""
