from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest

from trainers.dataset import digests
from trainers.dataset.folders.errors import DataError
from trainers.dataset.tables import downloading
from trainers.dataset.tables.downloading import download
from trainers.dataset.tables.uris import local_path
from trainers.progress import Progress

QUIET = Progress(is_quiet=True)
JPEG = b"\xff\xd8\xff\xe0"
"""The first bytes of a picture."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(downloading, "RETRY_SECONDS", 0.0)
    return tmp_path / "cache/downloads"


@pytest.fixture
def memory() -> Iterator[Any]:
    store = fsspec.filesystem("memory")
    yield store
    store.store.clear()


class Handler(BaseHTTPRequestHandler):
    """Answers /1.jpg and /a b.jpg; /403 and /503 with this status; /cut.jpg with half of itself.

    /busy.jpg is answered with 503 once. /huge.jpg says that it has 99 bytes. /login.jpg is a page.
    /slow.jpg stops after half of itself until `go_on` is set.
    """

    requests: list[str] = []
    is_half_sent, go_on = threading.Event(), threading.Event()

    def do_GET(self) -> None:
        is_busy = self.path == "/busy.jpg" and self.path not in self.requests
        self.requests.append(self.path)
        status = int(self.path[1:]) if self.path[1:].isdigit() else 200
        self.send_response(503 if is_busy else 404 if self.path == "/none.jpg" else status)
        content = JPEG + self.path.encode()[:4].ljust(4)
        if self.path == "/login.jpg":
            content = b"<html><body>please log in</body></html>"
        self.send_header("Content-Length", "99" if self.path == "/huge.jpg" else str(len(content)))
        self.end_headers()
        self.wfile.write(content[:6] if self.path in ("/cut.jpg", "/slow.jpg") else content)
        if self.path == "/slow.jpg":
            self.is_half_sent.set()
            self.go_on.wait(5)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(Handler, "requests", [])
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_pictures_are_downloaded_once(server: str, cache: Path) -> None:
    uris = [f"{server}/1.jpg", f"{server}/a b.jpg", f"{server}/1.jpg"]
    assert download(uris, QUIET) == {}
    assert sorted(Handler.requests) == ["/1.jpg", "/a%20b.jpg"]  # one request each
    assert [local_path(uri).read_bytes()[4:] for uri in uris[:2]] == [b"/1.j", b"/a%2"]
    assert download(uris, QUIET) == {}
    assert len(Handler.requests) == 2
    assert sorted(files(cache)) == sorted(map(local_path, uris[:2]))


def test_what_cannot_be_read_has_a_reason_and_others_are_kept(server: str, cache: Path) -> None:
    names = ("1.jpg", "none.jpg", "403", "503", "cut.jpg")
    good, none, forbidden, down, cut = (f"{server}/{name}" for name in names)
    failures = download([none, forbidden, good, down, cut], QUIET)
    reason = failures.pop(cut)
    assert reason.startswith("cannot be read (")
    assert failures == {
        none: "does not exist",
        forbidden: "cannot be read (HTTP 403)",
        down: "cannot be read (HTTP 503)",
    }
    assert files(cache) == [local_path(good)]
    assert [path.name for path in cache.iterdir()] == [local_path(good).parent.name]


def test_a_web_page_is_no_picture(server: str, cache: Path) -> None:
    uri = f"{server}/login.jpg"
    for requests in (1, 2):  # the page is not cached
        assert "web page or a server's error message, not a picture" in download([uri], QUIET)[uri]
        assert Handler.requests == ["/login.jpg"] * requests
    assert files(cache) == []


def test_a_failed_download_is_tried_again(server: str) -> None:
    assert download([f"{server}/busy.jpg", f"{server}/none.jpg"], QUIET) == {
        f"{server}/none.jpg": "does not exist"
    }
    assert sorted(Handler.requests) == ["/busy.jpg", "/busy.jpg", "/none.jpg"]


def test_any_store_of_fsspec_is_read(memory: Any, tmp_path: Path) -> None:
    memory.pipe("/a/1.jpg", JPEG)
    (tmp_path / "ä 2.jpg").write_bytes(b"2")
    here = (tmp_path / "ä 2.jpg").as_uri()
    lost = (tmp_path / "3.jpg").as_uri()
    assert download(["memory://a/1.jpg", "memory://a", here, lost], QUIET) == {
        "memory://a": "is a folder",
        lost: "does not exist",
    }
    assert local_path("memory://a/1.jpg").read_bytes() == JPEG
    assert local_path(here) == tmp_path / "ä 2.jpg"  # not copied


def test_pictures_have_the_size_limit_of_local_files(
    memory: Any, server: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert downloading.MAX_FILE_BYTES == digests.MAX_FILE_BYTES
    monkeypatch.setattr(downloading, "MAX_FILE_BYTES", 10)
    memory.pipe({"/a": JPEG.ljust(10), "/b": JPEG.ljust(11)})
    huge = f"{server}/huge.jpg"  # refused before it has arrived
    assert download(["memory://a", "memory://b", huge], QUIET) == {
        "memory://b": "has 11 bytes, more than the limit of 10 bytes",
        huge: "has 99 bytes, more than the limit of 10 bytes",
    }
    assert files(cache) == [local_path("memory://a")]


class Interrupted(Progress):
    """Ctrl-C after half of /slow.jpg."""

    def track(self, *_: Any) -> Any:
        assert Handler.is_half_sent.wait(5)
        threading.Timer(0.05, Handler.go_on.set).start()
        raise KeyboardInterrupt


def test_ctrl_c_leaves_only_whole_pictures(server: str, cache: Path) -> None:
    download([f"{server}/1.jpg"], QUIET)
    with pytest.raises(KeyboardInterrupt):
        download([f"{server}/slow.jpg"], Interrupted(is_quiet=True))
    assert files(cache) == [local_path(f"{server}/1.jpg")]
    assert not list(cache.rglob(".partial-*"))


def test_folders_of_killed_runs_are_removed_after_a_day(memory: Any, cache: Path) -> None:
    for name, hours in {".partial-old": 25, ".partial-new": 1}.items():
        (cache / name).mkdir(parents=True)
        (cache / name / "half").touch()
        os.utime(cache / name, (time.time() - hours * 3600,) * 2)
    memory.pipe("/1.jpg", JPEG)
    assert download(["memory://1.jpg"], QUIET) == {}
    assert [path.name for path in cache.glob(".partial-*")] == [".partial-new"]


def test_a_full_disk_ends_the_run(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(memory), "get_file", fail)
    with pytest.raises(OSError, match="No space left"):
        download(["memory://1"], QUIET)


def test_downloads_end_if_all_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "MAX_FAILURES", 3)
    with pytest.raises(DataError, match=r"first 3 downloads failed; memory://\d does not exist: "):
        download([f"memory://{number}" for number in range(9)], QUIET)


@pytest.mark.parametrize(
    ("uri", "module", "message"),
    [
        ("s3://b/1.jpg", "s3fs", r"s3://b/1\.jpg cannot be read: the package s3fs .*install s3fs"),
        ("gs://b/1.jpg", "gcsfs", r"the package gcsfs .*pip install gcsfs"),
        ("az://b/1.jpg", "adlfs", r"the package adlfs .*pip install adlfs"),
        ("memory://1", "fsspec", r"the package fsspec is .*pip install '\.\[remote\]'"),
        ("nonsense://1", "", r"nonsense://1 cannot be read: use one of http, https, s3"),
    ],
)
def test_a_missing_package_is_named(
    uri: str, module: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if module:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError, match=message):
        download([uri], QUIET)


def test_a_server_that_sends_hardly_anything_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(downloading, "SLOW_SECONDS", 0)
    monkeypatch.setattr(downloading, "MIN_BYTES_PER_SECOND", 1e12)
    store = fsspec.filesystem("memory")
    store.pipe("/slow.png", b"x" * 100)
    reasons = download(["memory://slow.png"], QUIET)
    assert "arrives too slowly" in reasons["memory://slow.png"]


def test_a_name_that_no_file_can_have_is_missing() -> None:
    uri = "file:///" + "x" * 300
    assert download([uri], QUIET) == {uri: "does not exist"}
