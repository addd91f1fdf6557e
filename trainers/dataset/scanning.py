"""Lists the pictures of a folder, an archive or a table, with their classes, and what is left out.

In folders, a file counts as a picture if it has the suffix of a format that Graft reads; for other
files, the first bytes decide. The module `folders.layout` finds the class folders. No picture is
decoded here: `inspection` does that later.
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
from trainers.dataset.tables.labels import SEPARATOR, Label, Task, read_labels
from trainers.dataset.tables.locating import locate, relative_path
from trainers.dataset.tables.records import is_table

_SPREADSHEETS = (".xlsx", ".xls", ".ods")


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that is not used.

    Attributes:
        path: relative to the data folder.
        reason: why it is not used, as the end of a sentence that begins with the path.
        kind: the kind of finding that reports the file or folder (see `findings.files`); "" if it
            was not meant as a picture or a class, and is therefore not reported as a finding.
    """

    path: str
    reason: str
    kind: str = ""


@dataclass(frozen=True)
class PictureFile:
    """A file that is a picture by its suffix or its first bytes; it is not decoded yet.

    Attributes:
        path: the path of the file.
        name: the path relative to the data folder, with / as separator; absolute if a table names a
            file outside its folder.
        label: the name of the class. If the pictures have several labels, all of them, sorted and
            joined by SEPARATOR; "" if the picture has none.
        split: a name from SPLITS; "" if the folder or the table does not name a split.
        group: the group that a table names, see --group; "" if it does not name one.
    """

    path: Path
    name: str
    label: str
    split: str
    group: str = ""


@dataclass(frozen=True)
class Scan:
    """The files, classes and layout of a folder.

    Attributes:
        data_path: the folder, the archive or the table, as the user named it.
        folder: the folder of the files; for an archive, the folder into which it was unpacked; for
            a table, the folder that it is in.
        pictures: the files that are pictures by suffix or first bytes, in a fixed order.
        classes: the names of the classes, sorted. Each has a file that is meant as a picture, even
            if it is not readable, or a folder that cannot be opened.
        left_out: files and folders that are not used.
        layout: where in the folder the classes are.
        is_multi_label: whether a picture may have several labels, or none.
    """

    data_path: Path
    folder: Path
    pictures: tuple[PictureFile, ...]
    classes: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    layout: Layout
    is_multi_label: bool = False


def scan(data_path: Path, group: str | None = None, task: Task = "single-label") -> Scan:
    """List the pictures of a folder, of a Zip or tar archive, or of a table, and their classes.

    Args:
        group: the value of --group; it may be the name of a column of the table.
        task: the value of --task.

    Raises:
        DataError: the folder is missing, cannot be opened or holds no pictures, the archive cannot
            be unpacked, it is not clear which folders are the classes, the table cannot be read,
            or the pictures of a folder would need several labels.
        OSError: the table cannot be opened.
    """
    if not is_printable(str(data_path)):
        raise DataError(f"--data {escape(str(data_path))} {UNPRINTABLE.reason}")
    if is_table(data_path) and data_path.is_file():
        return _scan_table(data_path, group, task)
    folder = open_folder(data_path)
    if task == "multi-label":
        raise DataError(
            f"--task multi-label needs a table of labels, but --data {data_path} is a folder or an "
            "archive, in which each picture has one class: see docs/multi-label.md"
        )
    if reason := why_not_opened(folder):
        raise DataError(f"--data {folder} {reason}; make it readable for this user")
    entries = list_entries(folder)
    try:
        layout = detect_layout((entry.parts for entry in entries if entry.is_picture), str(folder))
    except DataError as error:
        raise DataError(f"{data_path}: {error}") from None
    files = [_label(entry, layout) for entry in entries]
    pictures = tuple(file for file in files if isinstance(file, PictureFile))
    missing = archives.read_left_out(folder) if folder != data_path else []
    left_out = (
        *(file for file in files if isinstance(file, LeftOut)),
        *(_not_unpacked(name, reason) for name, reason in missing),
    )
    if not pictures:
        raise DataError(_no_pictures(data_path, entries, left_out))
    return Scan(data_path, folder, pictures, _classes(entries, layout), left_out, layout)


def _scan_table(table: Path, group: str | None, task: Task) -> Scan:
    """List the pictures of a table of labels."""
    folder = table.parent
    labels, note = read_labels(table, group, task)
    is_multi_label = task == "multi-label"
    found: dict[str, tuple[Label, Path]] = {}
    left_out: list[LeftOut] = []
    for label, path in zip(labels, locate([label.path for label in labels], folder), strict=True):
        reason, kind = _why_not_used(label, path, needs_label=not is_multi_label)
        if reason:
            where = f" ({table.name}, {label.place})" if kind else ""
            left_out.append(LeftOut(escape(label.path), f"{reason}{where}", kind))
            continue
        name = relative_path(Path(path), folder)
        first, _ = found.setdefault(name, (label, Path(path)))
        try:
            found[name] = first.join(label, task), Path(path)
        except ValueError as error:
            raise DataError(f"--data {table}, {label.place}: {escape(name)} {error}") from error
    if not found:
        raise DataError(f"{table} has no picture to use" + format_left_out(left_out))
    pictures = tuple(
        PictureFile(path, name, SEPARATOR.join(label.names), label.split, label.group)
        for name, (label, path) in sorted(found.items())
    )
    used = [label for label in labels if label.split != UNLABELLED]
    classes = tuple(sorted({name for label in used for name in label.names}))
    notes = [note]
    if empty := sum(not picture.label for picture in pictures):
        notes.append(f"number of pictures without a label, examples of none of them: {empty:,}")
    layout = Layout(notes=tuple(notes))
    return Scan(table, folder, pictures, classes, tuple(left_out), layout, is_multi_label)


def _why_not_used(label: Label, path: Path | str, needs_label: bool) -> tuple[str, str]:
    """Return why a picture of a table is left out, and the kind of finding; "" if it is not."""
    if needs_label and not label.names:
        return "has no label", ""
    if label.split == UNLABELLED:
        return "is in a split of unlabelled pictures", ""
    if isinstance(path, str):
        return path, "unreadable"
    return ("", "") if is_printable(str(path)) else (UNPRINTABLE.reason, UNPRINTABLE.kind)


def open_folder(data_path: Path) -> Path:
    """Return the folder of the pictures.

    For a table, this is the folder that it is in. An archive is unpacked unless the cache has its
    files.

    Raises:
        DataError: the folder is missing, or the archive cannot be unpacked.
    """
    if is_table(data_path) and data_path.is_file():
        return data_path.parent
    if data_path.suffix.lower() in _SPREADSHEETS:
        raise DataError(f"--data {data_path} is a spreadsheet: save the table as CSV in UTF-8")
    folder = archives.unpack(data_path) if data_path.is_file() else data_path
    if not folder.is_dir():
        raise DataError(
            f"there is no {'file' if is_table(folder) else 'folder'} {folder}; set --data to a "
            "folder, an archive or a table" + suggest_folder(folder)
        )
    return folder


def _label(entry: Entry, layout: Layout) -> PictureFile | LeftOut:
    location = layout.locate(entry.parts)
    label, split = location or ("", "")
    if entry.rejection:
        kind, reason = entry.rejection
        is_beside_classes = location is not None and not label
        if kind == EMPTY.kind and not is_beside_classes:  # an empty folder here is not a class
            kind = ""
        return LeftOut(entry.name, reason, kind)
    if split == UNLABELLED:
        return LeftOut(entry.name, "is in a folder of unlabelled pictures")
    if not label:
        return LeftOut(entry.name, "is not in a class folder: move it into one", "misplaced")
    return PictureFile(entry.path, entry.name, label, split)


def _not_unpacked(name: str, reason: str) -> LeftOut:
    is_loss = sniffing.has_picture_suffix(name) or not suffix_of(name)  # perhaps a class folder
    return LeftOut(name, reason, "unreadable" if is_loss else "")


def _no_pictures(data_path: Path, entries: Sequence[Entry], left_out: Sequence[LeftOut]) -> str:
    """Write the error message for a folder without pictures."""
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
    """Return the end of an error message: at most `limit` of the left-out files, with reasons.

    Files that are reported as findings come first. The result is "" if no file was left out.
    """
    ordered = sorted(left_out, key=lambda file: not file.kind)
    lines = [f"\n  {file.path}: {file.reason}" for file in ordered[:limit]]
    if len(ordered) > limit:
        lines.append(f"\n  and {len(ordered) - limit} more")
    return "; left out:" + "".join(lines) if lines else ""
