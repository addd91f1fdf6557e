from __future__ import annotations

from pathlib import Path

from trainers.dataset.folders.entries import EMPTY, list_entries, why_not_opened


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_entries_are_sorted_and_have_the_reason_of_a_rejection(tmp_path: Path) -> None:
    data = touch(tmp_path, "b/2.jpg", "a/1.jpg", "a/notes.csv", ".Trash/1.jpg", "__MACOSX/1.jpg")
    (data / "a/notes.csv").write_text("1,2")
    (data / "c").mkdir()
    entries = list_entries(data)
    assert [(entry.name, entry.is_picture) for entry in entries] == [
        ("__MACOSX", False),
        (".Trash", False),
        ("a/1.jpg", True),
        ("a/notes.csv", False),
        ("b/2.jpg", True),
        ("c", False),
    ]
    reasons = {entry.name: entry.rejection.reason for entry in entries if entry.rejection}
    assert reasons["__MACOSX"].startswith("is a folder made by")
    assert reasons[".Trash"] == "is hidden, so it is not read"
    assert reasons["a/notes.csv"] == "is text, not a picture"
    assert reasons["c"] == EMPTY.reason
    assert len(reasons) == 4


def test_a_missing_folder_cannot_be_opened(tmp_path: Path) -> None:
    assert why_not_opened(tmp_path) == ""
    assert why_not_opened(tmp_path / "gone") == "cannot be opened: No such file or directory"
