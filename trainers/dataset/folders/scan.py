"""What a scan of a folder, an archive or a table finds: pictures, classes, and what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainers.dataset.folders.layout import Layout


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that is not used.

    Attributes:
        path: relative to the data folder.
        reason: why it is not used, as the end of a sentence that begins with the path.
        kind: the kind of finding that reports the file or folder (see `findings.files`); "" if it
            was not meant as a picture or a class, and is therefore not reported as a finding.
        place: where a table names the file, such as "labels.csv, line 12"; "" without a table.
    """

    path: str
    reason: str
    kind: str = ""
    place: str = ""

    @property
    def explanation(self) -> str:
        """The reason, and the place in the table."""
        return f"{self.reason} ({self.place})" if self.place else self.reason


@dataclass(frozen=True)
class PictureFile:
    """A file that is a picture by its suffix or its first bytes; it is not decoded yet.

    Attributes:
        path: the path of the file.
        name: the path relative to the data folder, with / as separator; absolute if a table names a
            file outside its folder.
        label: the name of the class. If the pictures have several labels, all of them, sorted and
            joined by |; "" if the picture has none.
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


def format_left_out(left_out: Sequence[LeftOut], limit: int = 5) -> str:
    """Return the end of an error message: at most `limit` of the left-out files, with reasons.

    Files that are reported as findings come first. The result is "" if no file was left out.
    """
    ordered = sorted(left_out, key=lambda file: not file.kind)
    lines = [f"\n  {file.path}: {file.explanation}" for file in ordered[:limit]]
    if len(ordered) > limit:
        lines.append(f"\n  and {len(ordered) - limit} more")
    return "; left out:" + "".join(lines) if lines else ""
