"""Tells URIs from paths, and says which file of this machine has the picture of a URI."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from service.system.folders import cache_folder
from trainers.dataset.folders.filenames import escape

_LOCAL_SCHEMES: Final = ("file", "local")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


def is_uri(path: str) -> bool:
    """Whether the path of a picture is a URI, such as https://example.org/1.jpg."""
    return bool(_SCHEME.match(path))


def is_remote(path: str) -> bool:
    """Whether the path of a picture is a URI that is downloaded; file:// URIs are not."""
    return is_uri(path) and scheme_of(path) not in _LOCAL_SCHEMES


def local_path(uri: str) -> Path:
    """Return the file of a URI: that of a file:// URI, or the one in the cache, if it exists."""
    host, path = _split_file_uri(uri)
    if not is_remote(uri) and not host:
        return Path(path)
    digest = hashlib.sha256(uri.encode("utf-8", "surrogatepass")).hexdigest()
    return cache_folder() / "downloads" / digest[:2] / digest


def has_file(uri: str) -> bool:
    """Whether the picture of a URI is on this machine: a local file, or one in the cache."""
    try:
        return local_path(uri).is_file()
    except (OSError, ValueError):  # the name is too long, or has a character that no file can have
        return False


def scheme_of(uri: str) -> str:
    """Return the scheme of a URI in lower case; "" for a path."""
    match = _SCHEME.match(uri)
    return match[1].lower() if match else ""


def why_absent(uri: str) -> str:
    """Return why a file:// URI has no file."""
    host, _ = _split_file_uri(uri)
    return f"names the host {escape(host)}: write file:///PATH" if host else "does not exist"


def _split_file_uri(uri: str) -> tuple[str, str]:
    """Return the host, "" for this machine, and the path, which may contain # and ?."""
    host, _, path = uri.partition("://")[2].partition("/")
    return "" if host == "localhost" else host, unquote(f"/{path}")
