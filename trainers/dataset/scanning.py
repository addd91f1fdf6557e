"""Lists the pictures of a folder, an archive or a table, with their classes, and what is left out.

In folders, a file counts as a picture if it has the suffix of a format that Graft reads; for other
files, the first bytes decide. The module `folders.layout` finds the class folders. No picture is
decoded here: `inspection` does that later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from service.imaging import SUFFIXES
from trainers.dataset.folders import archives, sniffing
from trainers.dataset.folders.entries import EMPTY, UNPRINTABLE, Entry, list_entries, why_not_opened
from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.filenames import (
    UNLABELLED,
    escape,
    format_names,
    is_printable,
    is_split_name,
    suffix_of,
)
from trainers.dataset.folders.layout import Layout, detect_layout
from trainers.dataset.folders.scan import LeftOut, PictureFile, Scan, format_left_out
from trainers.dataset.folders.suggestions import suggest_folder
from trainers.dataset.group_rule import check_group
from trainers.dataset.tables.discovery import find_tables
from trainers.dataset.tables.labels import TableError, Task
from trainers.dataset.tables.pictures import find_contradiction, scan_tables
from trainers.dataset.tables.records import is_table
from trainers.dataset.tables.uris import is_remote, is_uri, local_path
from trainers.progress import Progress

_SPREADSHEETS = (".xlsx", ".xls", ".ods")


def scan(
    data_path: Path,
    group: str | None = None,
    progress: Progress | None = None,
    task: Task = "single-label",
) -> Scan:
    """List the pictures of a folder, of a Zip or tar archive, or of a table, and their classes.

    If a folder or an archive has no two class folders, but a table of labels, the table is used.
    A file that has no labels of these pictures does not hide a problem of the class folders; errors
    mention it at the end.

    Args:
        group: the value of --group; it may be the name of a column of the table.
        progress: shows the progress of downloading the pictures that a table names by URIs.
        task: the value of --task.

    Raises:
        DataError: the folder is missing, cannot be opened or holds no pictures, the archive cannot
            be unpacked, it is not clear which folders are the classes, the table cannot be read,
            or class folders would have to give several labels.
        ConfigError: --group names no column, and is not a valid regular expression.
        OSError: the table cannot be opened.
    """
    if not is_printable(str(data_path)):
        raise DataError(f"--data {escape(str(data_path))} {UNPRINTABLE.reason}")
    folder, progress = open_folder(data_path), progress or Progress(is_quiet=True)
    if is_table(data_path):
        return _scan_tables(data_path, folder, {data_path: ""}, group, progress, task)
    if reason := why_not_opened(folder):
        raise DataError(f"--data {folder} {reason}; make it readable for this user")
    entries = list_entries(folder)
    missing = archives.read_left_out(folder) if folder != data_path else []
    lost = tuple(_not_unpacked(name, reason) for name, reason in missing)
    try:
        layout = detect_layout((entry.parts for entry in entries if entry.is_picture), str(folder))
        classes = _classes(entries, layout)
        problem = None
    except DataError as error:
        classes, problem = (), DataError(f"{data_path}: {error}")
    is_sorted = len(classes) > 1 and not all(map(is_split_name, classes))
    unused: dict[Path, str] = {}  # tables
    if tables := {} if is_sorted else find_tables(folder):
        try:
            found = _scan_tables(data_path, folder, tables, group, progress, task)
            return replace(found, left_out=(*found.left_out, *lost))
        except TableError as error:  # perhaps it is not about labels, but lies beside the pictures
            if any(tables.values()) or not any(entry.is_picture for entry in entries):
                raise
            reason = f"is not used as a table of labels: {' '.join(str(error).split())}"
            unused = dict.fromkeys(tables, reason)
    if task == "multi-label":
        raise DataError(
            f"several labels per picture need a table of labels, but in --data {data_path} each "
            "picture has one class, its folder: see docs/multi-label.md"
        )
    if problem:
        raise DataError(f"{problem}{_format_unused(unused)}")
    check_group(group)
    if is_sorted:
        _require_no_other_labels(data_path, folder, entries, layout)
    files = [
        LeftOut(entry.name, unused[entry.path])
        if entry.path in unused and not entry.is_picture
        else _label(entry, layout)
        for entry in entries
    ]
    pictures = tuple(file for file in files if isinstance(file, PictureFile))
    left_out = (*(file for file in files if isinstance(file, LeftOut)), *lost)
    if not pictures:
        raise DataError(_no_pictures(data_path, entries, left_out) + _format_unused(unused))
    return Scan(data_path, folder, pictures, classes, left_out, layout)


def _scan_tables(
    data_path: Path,
    folder: Path,
    tables: Mapping[Path, str],
    group: str | None,
    progress: Progress,
    task: Task,
) -> Scan:
    found = scan_tables(data_path, folder, tables, group, progress, task)
    if data_path.is_file() and not is_table(data_path):
        _require_inside(data_path, folder, found)
    if not any(picture.group for picture in found.pictures):
        check_group(group, f", and no column of the table ({'; '.join(found.layout.notes)})")
    return found


def _format_unused(tables: Mapping[Path, str]) -> str:
    """Return the end of an error message: tables that are not used, and why; "" without tables."""
    names = format_names([table.name for table in tables], 3) + (
        ": each" if len(tables) > 1 else ":"
    )
    return f"\n  {names} {next(iter(tables.values()))}" if tables else ""


def _require_no_other_labels(
    data_path: Path, folder: Path, entries: Sequence[Entry], layout: Layout
) -> None:
    """Check that no table beside the class folders gives the pictures other classes.

    Some data sets sort their pictures into folders like part_1 and part_2, and have a table.

    Raises:
        DataError: there is such a table.
    """
    labelled = (_label(entry, layout) for entry in entries if entry.is_picture)
    classes = {file.name: file.label for file in labelled if isinstance(file, PictureFile)}
    for table in find_tables(folder):
        if contradiction := find_contradiction(table, folder, classes):
            raise DataError(
                f"--data {data_path}: the folders and the table {table.name} give the pictures "
                f"different classes: {contradiction}. Set --data to {table} to use the table, or "
                "move the table away"
            )


def _require_inside(archive: Path, folder: Path, found: Scan) -> None:
    """Check that the table in an archive, which may come from anybody, names no other files.

    Raises:
        DataError: a picture is not in the folder into which the archive was unpacked.
    """
    for picture in found.pictures:
        is_inside = picture.path.resolve().is_relative_to(folder.resolve())
        if not is_inside and not is_remote(picture.name):
            raise DataError(
                f"--data {archive}: its table names a file outside the archive, {picture.name}; "
                "unpack the archive, and use its table only if you trust it"
            )


def picture_path(folder: Path, name: str) -> Path:
    """Return the file of a picture by its name: a path relative to the folder, or a URI."""
    return local_path(name) if is_uri(name) else folder / name


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
    uri = str(data_path).replace(":/", "://", 1)  # a `Path` has no empty parts
    if is_uri(uri):
        raise DataError(
            f"--data {uri} is not on this machine: download it first; only the paths in a table "
            "may be URIs"
        )
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
