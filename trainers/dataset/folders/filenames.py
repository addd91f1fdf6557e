"""Rules about file and folder names: which are printable, hidden, made by a system, or splits."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Final

_CONTROL_CATEGORIES: Final = ("Cc", "Cs", "Zl", "Zp")
"""Unicode categories of characters that break a line, control a terminal, or are not valid UTF-8.
Spaces of other scripts, joiners (in emoji and Persian) and soft hyphens are allowed."""
_OVERRIDES: Final = "\u202d\u202e"
"""Characters that override the direction of text, so that a log might show a wrong path."""

SYSTEM_FOLDERS: Final = frozenset(
    {
        # Windows, DOS and their disks
        *("$recycle.bin", "recycler", "system volume information", "found.000", "_vti_cnf"),
        # macOS, archives made by it, and its network shares
        *("__macosx", "network trash folder", "temporary items", "thevolumesettingsfolder"),
        # Synology, QNAP, NetApp, Linux, Android
        *("@eadir", "#recycle", "#snapshot", "@tmp", "@database", "@sharebin", "@appstore"),
        *("@recycle", "@recently-snapshot", "@transcode", "~snapshot", "lost+found", "lost.dir"),
        # copies made by viewers and by developers' tools
        *("thumbs", "thumbnails", "_thumbs", "_thumbnails", "__pycache__", "node_modules"),
        *("mlruns", "wandb", "lightning_logs"),
    }
)
"""Names, in lower case, of folders that operating systems, storage devices and tools make. Hidden
folders (.Trash, .ipynb_checkpoints) need not be listed, because they are never read. `trash` and
`recycled` are not listed, because they may be classes of waste."""
_DOWNLOAD_SUFFIX: Final = re.compile(
    r"(\.(?:jpe?g?|jfif|png|webp|avif|gif|bmp|tiff?|hei[cf]))(?:\.[\d.]*|[^a-z0-9.][^.]*)$"
)
_VERSION_CONTROL_FOLDERS: Final = frozenset({".git", ".svn", ".hg", ".dvc"})
_SYSTEM_FILES: Final = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})

SPLITS: Final = ("train", "validation", "test")
UNLABELLED: Final = "unlabelled"
"""Used instead of a split name for a folder of unlabelled pictures beside the split folders."""
SPLIT_WORDS: Final = {
    **dict.fromkeys(("train", "training", "trainval", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation", "holdout", "tst"), "test"),
    **dict.fromkeys(("pred", "predict", "prediction", "unlabeled", "unlabelled"), UNLABELLED),
}
_FILLERS: Final = frozenset(
    {
        *("set", "sets", "data", "dataset", "datasets", "split", "splits", "file", "files"),
        *("dir", "dirs", "directory", "folder", "folders", "class", "classes"),
        *("image", "images", "img", "imgs", "picture", "pictures", "pic", "pics", "photo"),
        *("photos", "sample", "samples", "raw", "cropped", "resized", "small", "full", "final"),
        *("all", "the", "my", "new"),
    }
)
_COMPOUND: Final = re.compile(f"({'|'.join(SPLIT_WORDS)})({'|'.join(_FILLERS)})")

_BOUNDARY: Final = r"(?:[\W_]+|(?<=[a-z])(?=[A-Z]))"
_ANY_SPLIT: Final = f"(?i:{'|'.join(SPLIT_WORDS)})"
_CLASS_AND_SPLIT: Final = re.compile(rf"(.+?){_BOUNDARY}{_ANY_SPLIT}|{_ANY_SPLIT}{_BOUNDARY}(.+)")
_CLASS_AND_FOLD: Final = re.compile(
    rf"(.+?){_BOUNDARY}(?i:fold)[\W_]*\d+|(?i:fold)[\W_]*\d+{_BOUNDARY}(.+)"
)


def is_printable(name: str) -> bool:
    """Whether a name has neither control characters nor bytes that are not UTF-8.

    Linux allows both in file names.
    """
    return not any(map(_is_control, name))


def escape(name: str) -> str:
    """Replace every unprintable character of a name by a backslash escape, such as \\x0a."""
    return "".join(
        _backslash_code(character) if _is_control(character) else character for character in name
    )


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in _CONTROL_CATEGORIES or character in _OVERRIDES


def _backslash_code(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def format_names(names: Sequence[str], limit: int = 5) -> str:
    """Format the first names in one line, and the number of further ones: "a, b and 3 more"."""
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more" if rest > 0 else "")


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or is a file that Windows or macOS adds to folders."""
    return name.startswith(".") or name.casefold() in _SYSTEM_FILES


def is_version_control(name: str) -> bool:
    """Whether a hidden folder belongs to version control. Such folders are left out silently."""
    return name in _VERSION_CONTROL_FOLDERS


def is_system_folder(name: str) -> bool:
    """Whether a folder was made by an operating system, a storage device or a tool."""
    return name.casefold() in SYSTEM_FOLDERS


def suffix_of(name: str) -> str:
    """Return the suffix in lower case with its dot, e.g. `.jpg`; "" for a name without a suffix.

    Text that a download appended is ignored, as in `1.jpg?w=500`, `1.jpg.1` or `1.jpg_large`.
    """
    if match := _DOWNLOAD_SUFFIX.search(name.lower()):
        return match[1]
    return PurePath(name).suffix.lower()


def normalize(name: str) -> str:
    """Return a form of a name that is the same for all its spellings.

    Spellings differ in case, spaces, `_`, `-`, or the Unicode form of accents (macOS decomposes
    accents).
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return re.sub(r"[\s_-]+", " ", folded).strip()


def _words(name: str) -> Iterator[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)  # TrainingSet
    for word in filter(None, re.split(r"[\W\d_]+", spaced.lower())):
        compound = _COMPOUND.fullmatch(word)
        yield from compound.groups() if compound else (word,)


def split_of(name: str) -> str:
    """Return the split, or UNLABELLED, that a folder name mentions; "" for none or several."""
    splits = {SPLIT_WORDS[word] for word in _words(name) if word in SPLIT_WORDS}
    return splits.pop() if len(splits) == 1 else ""


def is_split_name(name: str) -> bool:
    """Whether a name has only split and filler words: training_set does, seg_train does not."""
    return bool(split_of(name)) and {*_words(name)} <= {*SPLIT_WORDS, *_FILLERS}


def strip_split(name: str) -> str:
    """Remove the split from a name: cats_train, test-cats and catsVal become `cats`.

    Return "" if the name neither starts nor ends with a split.
    """
    return _class_in(name, _CLASS_AND_SPLIT) if split_of(name) else ""


def strip_fold(name: str) -> str:
    """Remove the fold from a name: cats_fold1 and fold-1-cats become `cats`.

    Return "" if the name neither starts nor ends with a fold.
    """
    return _class_in(name, _CLASS_AND_FOLD)


def _class_in(name: str, pattern: re.Pattern[str]) -> str:
    match = pattern.fullmatch(name)
    return (match[1] or match[2]).strip() if match else ""
