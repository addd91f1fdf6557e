"""Downloads the pictures that a table names by URIs, each once, into the cache.

A URI stands for one content: a picture that is in the cache is not downloaded again. A file has its
final name only if it is complete, and its first bytes are those of a picture.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, Final

from service.system.folders import cache_folder
from service.system.interrupts import cleanup_on_signal
from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.filenames import escape
from trainers.dataset.folders.sniffing import sniff
from trainers.dataset.tables.uris import has_file, is_remote, local_path, scheme_of, why_absent
from trainers.progress import Progress, log

MAX_FILE_BYTES: Final = 256 * 1024 * 1024
"""Largest size of a picture, the same as `digests.MAX_FILE_BYTES` for local files."""
MAX_THREADS: Final = 16
MAX_FAILURES: Final = 100
"""If this number of downloads failed and none succeeded, the rest is not tried."""
PACKAGES: Final = {
    **dict.fromkeys(("http", "https"), "aiohttp"),
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "adlfs"),
    "memory": "fsspec",
}
"""The package that fsspec needs for each scheme. Other stores need more than a URI, or cannot be
used by several threads."""
_STALL_SECONDS: Final = 30
SLOW_SECONDS: Final = 60
MIN_BYTES_PER_SECOND: Final = 1000
"""After SLOW_SECONDS, a picture that arrives more slowly than this is given up."""
_STAGING: Final = ".partial-"
_MAX_STAGING_SECONDS: Final = 24 * 3600
"""Folders of incomplete downloads that are older than this are deleted: a killed run left them."""
RETRY_SECONDS: Final = 1.0
"""A download that fails for another reason than a missing file is tried again after this time."""
_UNREADABLE: Final = "cannot be read"
_DISK_ERRORS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def download(uris: Sequence[str], progress: Progress) -> dict[str, str]:
    """Download the pictures that are not in the cache yet; `local_path` returns their files.

    Returns:
        For each URI that cannot be read the reason, as the end of a sentence.

    Raises:
        DataError: fsspec does not know a scheme, a package for it is not installed, or nothing can
            be downloaded.
        OSError: the cache cannot be written.
    """
    missing = [uri for uri in dict.fromkeys(uris) if not has_file(uri)]
    absent = {uri: why_absent(uri) for uri in missing if not is_remote(uri)}
    missing = [uri for uri in missing if uri not in absent]
    if not missing:
        return absent
    first = {scheme_of(uri): uri for uri in reversed(missing)}
    stores = {scheme: _open_store(uri) for scheme, uri in first.items()}
    log.info(
        "downloading %d pictures into %s; to download them again, delete that folder",
        *(len(missing), cache_folder() / "downloads"),
    )
    failures: dict[str, str] = {}
    stop = Event()
    with _staging_folder() as staging, ThreadPoolExecutor(MAX_THREADS) as threads:
        try:
            futures = {
                threads.submit(_download, uri, stores[scheme_of(uri)], staging, stop): uri
                for uri in missing
            }
            done = progress.track(as_completed(futures), len(missing), "downloading")
            for count, future in enumerate(done, 1):
                if reason := future.result():
                    failures[futures[future]] = reason
                if count == len(failures) == MAX_FAILURES:
                    uri, reason = next(iter(failures.items()))
                    raise DataError(
                        f"the first {count} downloads failed; {escape(uri)} {reason}: check the "
                        "network, the addresses and the permissions, then run the command again"
                    )
        except BaseException:  # also Ctrl-C
            stop.set()
            threads.shutdown(wait=False, cancel_futures=True)
            raise
    return absent | failures


def _open_store(uri: str) -> Any:
    """Return the file system of fsspec that reads a URI.

    Raises:
        DataError: the scheme is not known, a package is not installed, or the store cannot be
            opened, e.g. without a password.
    """
    scheme = scheme_of(uri)
    title = f"{escape(uri)} cannot be read"
    if scheme not in PACKAGES:
        raise DataError(f"{title}: use one of {', '.join(PACKAGES)} as the scheme, or a path")
    try:
        import fsspec

        store = fsspec.get_filesystem_class(scheme)
        return store(**_options(scheme))
    except ImportError as error:
        package = "fsspec" if error.name == "fsspec" else PACKAGES[scheme]
        install = "'.[remote]'" if package in ("fsspec", "aiohttp") else package
        raise DataError(
            f"{title}: the package {package} is not installed: .venv/bin/python -m pip install "
            f"{install}"
        ) from error
    except Exception as error:  # each store has its own errors
        raise DataError(
            f"{title} ({_first_line(error)}): give the credentials as the store expects them"
        ) from error


def _options(scheme: str) -> dict[str, Any]:
    if scheme not in ("http", "https"):
        return {}
    from aiohttp import ClientTimeout

    timeout = ClientTimeout(total=None, sock_connect=_STALL_SECONDS, sock_read=_STALL_SECONDS)
    return {"client_kwargs": {"trust_env": True, "timeout": timeout}}  # proxies of the environment


@contextmanager
def _staging_folder() -> Iterator[Path]:
    """Make a folder for pictures that are not complete yet; remove it, also on Ctrl-C.

    Such folders of runs that were killed are removed, too.
    """
    root = cache_folder() / "downloads"
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob(f"{_STAGING}*"):
        with suppress(FileNotFoundError):  # another run removed it
            if time.time() - left.stat().st_mtime > _MAX_STAGING_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_STAGING, dir=root))
    remove = partial(shutil.rmtree, folder, ignore_errors=True)
    with cleanup_on_signal(remove):
        try:
            yield folder
        finally:
            remove()


def _download(uri: str, store: Any, staging: Path, stop: Event) -> str:
    """Download a picture, in two attempts; return why it cannot be read, or ""."""
    target = local_path(uri)
    partial_file = staging / target.name
    reason = _fetch(uri, partial_file, store, stop)
    if reason.startswith(_UNREADABLE) and not stop.wait(RETRY_SECONDS):
        reason = _fetch(uri, partial_file, store, stop)
    if not reason:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial_file.replace(target)
    return reason


def _fetch(uri: str, file: Path, store: Any, stop: Event) -> str:
    """Download a picture to a file, unless `stop` is set; return why it cannot be read, or ""."""
    from fsspec.callbacks import Callback

    started = time.monotonic()

    def check(size: int | None, value: int) -> None:
        if stop.is_set():
            raise DataError("was not downloaded")
        _check_size(max(value, size or 0))
        seconds = time.monotonic() - started
        if seconds > SLOW_SECONDS and value / seconds < MIN_BYTES_PER_SECOND:
            raise DataError(f"arrives too slowly: {value:,} bytes in {seconds:.0f} s")

    try:
        check(0, 0)
        store.get_file(uri, str(file), callback=Callback(hooks={"check": check}))
        if not file.is_file():
            return "is a folder"
        _check_size(file.stat().st_size)
        if rejection := sniff(file):  # such as a login page, which servers send with status 200
            return rejection.reason
    except DataError as error:
        return str(error)
    except Exception as error:  # each store has its own errors
        if getattr(error, "errno", None) in _DISK_ERRORS:
            raise
        is_missing = isinstance(error, FileNotFoundError)
        return "does not exist" if is_missing else f"{_UNREADABLE} ({_first_line(error)})"
    return ""


def _check_size(size_bytes: int) -> None:
    if size_bytes > MAX_FILE_BYTES:
        raise DataError(
            f"has {size_bytes:,} bytes, more than the limit of {MAX_FILE_BYTES:,} bytes"
        )


def _first_line(error: Exception) -> str:
    """Return the text of an error; the status for an error of aiohttp, whose text has the URI."""
    if status := getattr(error, "status", None):
        return f"HTTP {status}"
    return escape(str(error).partition("\n")[0]) or type(error).__name__
