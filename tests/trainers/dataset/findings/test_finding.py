from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trainers.cache.array_cache import Cache
from trainers.dataset import scanning
from trainers.dataset.dataset import load_dataset
from trainers.dataset.findings.finding import (
    Finding,
    list_notes,
    log_findings,
    make_finding,
    summarize,
    write_json,
)
from trainers.progress import Progress, log

SILENT = Progress(is_quiet=True)
DrawFolder = Callable[..., Path]


@pytest.mark.parametrize(
    ("paths", "text"),
    [
        (["a"], "1 class that is small: give it more"),
        (["a", "b"], "2 classes that are small: give them more"),
    ],
)
def test_a_message_starts_with_the_count(paths: list[str], text: str) -> None:
    finding = make_finding("tiny_class", "that {are} small: give {them} more", paths, "class")
    assert (finding.message, finding.severity, finding.paths) == (text, "warning", tuple(paths))


def test_a_finding_as_text_shows_three_paths_and_how_many_more() -> None:
    finding = make_finding("truncated", "cut short", [f"{number}.jpg" for number in range(5000)])
    assert str(finding) == (
        "warning: 5,000 pictures cut short\n  truncated: 0.jpg, 1.jpg, 2.jpg and 4997 more"
    )


def test_groups_are_shown_with_equals_signs() -> None:
    groups = (("a", "b"), ("c", "d"))
    finding = Finding("exact_duplicate", "error", "2 groups", ("a", "b", "c", "d"), groups)
    assert str(finding).endswith("exact_duplicate: a = b, c = d")


def test_findings_are_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    messages: list[str] = []
    monkeypatch.setattr(log, "warning", lambda text, *values: messages.append(text % values))
    log_findings([make_finding("truncated", "cut short", ["100%.jpg"])])
    assert messages == ["warning: 1 picture cut short\n  truncated: 100%.jpg"]


def test_findings_json_holds_every_path_and_the_files_left_out(
    tmp_path: Path, draw_folder: DrawFolder
) -> None:
    folder = draw_folder(tmp_path / "pictures", red=3, blue=2)
    (folder / "red/ä.txt").write_text("hello")
    dataset = load_dataset(
        scanning.scan(folder), Cache(folder.parent, 0, folder.parent / "work", SILENT)
    )
    findings = [make_finding("truncated", "cut short", [f"{number}.jpg" for number in range(9)])]
    write_json(tmp_path / "findings.json", dataset, findings)
    content = json.loads((tmp_path / "findings.json").read_text(encoding="utf-8"))
    assert content["classes"] == {"blue": 2, "red": 3}
    assert content["pictures"] == 5
    assert content["notes"] == []
    assert content["findings"][0]["kind"] == "truncated"
    assert len(content["findings"][0]["paths"]) == 9
    assert content["left_out"][0]["path"] == "red/ä.txt"


def test_files_left_out_without_a_finding_are_noted_by_reason(
    tmp_path: Path, draw_folder: DrawFolder
) -> None:
    folder = draw_folder(tmp_path / "pictures/archive", red=3, blue=2).parent
    for number in range(5):
        (folder / f"archive/red/{number}.txt").write_text("hello")
    (folder / "archive/@eaDir").mkdir()
    (folder / "archive/red/1.jpg").write_bytes(b"")  # reported as a finding
    cache = Cache(folder.parent, 0, folder.parent / "work", SILENT)
    assert list_notes(load_dataset(scanning.scan(folder), cache)) == [
        "the class folders are in archive",
        "left out: archive/@eaDir: is a folder made by an operating system or a tool: rename it if "
        "it is a class",
        "left out: archive/red/0.txt, archive/red/1.txt, archive/red/2.txt and 2 more: each is "
        "text, not a picture",
    ]


def test_a_summary_has_counts_instead_of_paths() -> None:
    (row,) = summarize([make_finding("truncated", "cut short", ["a", "b"])])
    message = "2 pictures cut short"
    assert row == {"kind": "truncated", "severity": "warning", "message": message, "n": 2}


def test_a_file_that_cannot_be_written_stays_as_it_is(
    tmp_path: Path, draw_folder: DrawFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = draw_folder(tmp_path / "pictures", red=3, blue=2)
    dataset = load_dataset(
        scanning.scan(folder), Cache(folder.parent, 0, folder.parent / "work", SILENT)
    )
    path = tmp_path / "out/findings.json"
    path.parent.mkdir()
    path.write_text("old")

    def write_half(partial: Path, text: str, **_: object) -> None:
        partial.write_bytes(text[:9].encode())
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", write_half)
    with pytest.raises(OSError, match="No space"):
        write_json(path, dataset, [])
    assert [file.name for file in path.parent.iterdir()] == ["findings.json"]
    assert path.read_text() == "old"
