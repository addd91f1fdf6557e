"""What a name says: whether it is text, whom it belongs to, and which names look alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import PurePath
from typing import Final

_CONTROLS: Final = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's categories of what breaks a line, steers a terminal, or is no UTF-8. Blanks of other
scripts, joiners (emoji, Persian) and soft hyphens are letters of a name like any other."""
_OVERRIDES: Final = "\u202d\u202e"
"""They turn the text behind them around: a path in a log would show what it is not."""

SYSTEM_FOLDERS: Final = frozenset(
    {
        # Windows, DOS and their disks
        *("$recycle.bin", "recycler", "system volume information", "found.000", "_vti_cnf"),
        # macOS, archives made by it, and its network shares
        *("__macosx", "network trash folder", "temporary items", "thevolumesettingsfolder"),
        # Synology, QNAP, NetApp, Linux, Android
        *("@eadir", "#recycle", "#snapshot", "@tmp", "@database", "@sharebin", "@appstore"),
        *("@recycle", "@recently-snapshot", "@transcode", "~snapshot", "lost+found", "lost.dir"),
        # copies that viewers and developers' tools make
        *("thumbs", "thumbnails", "_thumbs", "_thumbnails", "__pycache__", "node_modules"),
        *("mlruns", "wandb", "lightning_logs"),
    }
)
"""In lower case. Those that begin with a dot (.Trash, .snapshot, .AppleDouble, .@__thumb,
.ipynb_checkpoints) are hidden ones. `trash` and `recycled` are classes of waste."""
_MARKED: Final = re.compile(
    r"(\.(?:jpe?g?|jfif|png|webp|avif|gif|bmp|tiff?|hei[cf]))(?:\.[\d.]*|[^a-z0-9.][^.]*)$"
)
_VERSIONING: Final = frozenset({".git", ".svn", ".hg", ".dvc"})
_SYSTEM_FILES: Final = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})

SPLITS: Final = ("train", "validation", "test")
UNLABELLED: Final = "unlabelled"
"""In the place of a split: pictures beside the splits that nobody has sorted."""
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
_GLUED: Final = re.compile(f"({'|'.join(SPLIT_WORDS)})({'|'.join(_FILLERS)})")

_EDGE: Final = r"(?:[\W_]+|(?<=[a-z])(?=[A-Z]))"
_SPLIT: Final = f"(?i:{'|'.join(SPLIT_WORDS)})"
_CLASS_AND_SPLIT: Final = re.compile(rf"(.+?){_EDGE}{_SPLIT}|{_SPLIT}{_EDGE}(.+)")
_CLASS_AND_FOLD: Final = re.compile(
    rf"(.+?){_EDGE}(?i:fold)[\W_]*\d+|(?i:fold)[\W_]*\d+{_EDGE}(.+)"
)


def is_text(name: str) -> bool:
    """False for control characters, and for bytes that are no UTF-8: Linux allows both."""
    return not any(map(_steers, name))


def printable(name: str) -> str:
    """The name with a backslash code in the place of what is no text."""
    return "".join(_escaped(one) if _steers(one) else one for one in name)


def _steers(character: str) -> bool:
    return unicodedata.category(character) in _CONTROLS or character in _OVERRIDES


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def is_hidden(name: str) -> bool:
    """Whether a file or folder is passed over."""
    return name.startswith(".") or name.casefold() in _SYSTEM_FILES


def is_versioning(name: str) -> bool:
    """Whether a hidden folder is that of version control: nobody looks for pictures there."""
    return name in _VERSIONING


def is_of_system(name: str) -> bool:
    """Whether a folder was made by a system, a storage box or a tool, and not by a person."""
    return name.casefold() in SYSTEM_FOLDERS


def ending(name: str) -> str:
    """`.jpg`: in lower case, with its dot; nothing for a name without one.

    What downloads hang onto it is no part of it: `1.jpg?w=500`, `1.jpg.1`, `1.jpg_large`, `1.jpg `.
    """
    if found := _MARKED.search(name.lower()):
        return found[1]
    return PurePath(name).suffix.lower()


def looks(name: str) -> str:
    """The same for all names that people take for one: capitals, blanks, `_`, `-`, and how accents
    are stored (macOS takes them apart) make no difference."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return re.sub(r"[\s_-]+", " ", folded).strip()


def _words(name: str) -> Iterator[str]:
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)  # TrainingSet
    for word in filter(None, re.split(r"[\W\d_]+", apart.lower())):
        glued = _GLUED.fullmatch(word)
        yield from glued.groups() if glued else (word,)


def split_of(name: str) -> str:
    """The split that a folder's name speaks of, if it is one; else nothing."""
    splits = {SPLIT_WORDS[word] for word in _words(name) if word in SPLIT_WORDS}
    return splits.pop() if len(splits) == 1 else ""


def is_plain_split(name: str) -> bool:
    """Whether a name speaks of a split and of nothing else: training_set, not seg_train."""
    return bool(split_of(name)) and {*_words(name)} <= {*SPLIT_WORDS, *_FILLERS}


def class_beside_split(name: str) -> str:
    """`cats` of cats_train, test-cats or catsVal; nothing where no split stands at either end."""
    return _class_in(name, _CLASS_AND_SPLIT) if split_of(name) else ""


def class_beside_fold(name: str) -> str:
    """`cats` of cats_fold1 or fold-1-cats; else nothing."""
    return _class_in(name, _CLASS_AND_FOLD)


def _class_in(name: str, pattern: re.Pattern[str]) -> str:
    found = pattern.fullmatch(name)
    return (found[1] or found[2]).strip() if found else ""
