from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image

from trainers.cache.array_cache import Cache
from trainers.dataset.dataset import Dataset, check_classes, load_dataset
from trainers.dataset.findings.files import find_wrong_suffixes
from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.filenames import format_names
from trainers.dataset.inspection import inspect_picture
from trainers.dataset.scanning import scan
from trainers.dataset.splits import splitting
from trainers.progress import Progress

SILENT = Progress(is_quiet=True)
DrawFolder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, draw_folder: DrawFolder) -> Path:
    return draw_folder(tmp_path / "pictures", red=4, blue=3)


def read(folder: Path) -> Dataset:
    return load_dataset(scan(folder), Cache(folder.parent, 0, folder.parent / "work", SILENT))


def check(folder: Path) -> None:
    check_classes(read(folder))


def reasons(dataset: Dataset) -> dict[str, str]:
    return {file.path: file.reason for file in dataset.left_out}


def test_folders_are_classes_and_files_are_pictures(folder: Path) -> None:
    dataset = read(folder)
    assert dataset.classes == ("blue", "red")
    assert dataset.paths == (
        *(f"blue/{number}.png" for number in range(3)),
        *(f"red/{number}.png" for number in range(4)),
    )
    assert dataset.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert dataset.left_out == ()


def test_pictures_of_uris_are_named_by_their_uri(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    store = fsspec.filesystem("memory")
    contents = {path.relative_to(folder): path.read_bytes() for path in folder.glob("*/*.png")}
    uris = {f"memory://pack/{path.with_suffix('')}": path.parent.name for path in contents}
    store.pipe({f"/pack/{path.with_suffix('')}": data for path, data in contents.items()})
    table = tmp_path / "labels.csv"
    lines = [f"{uri},{label}" for uri, label in uris.items()]
    table.write_text("\n".join(["url,label", *lines]), encoding="utf-8")
    dataset = read(table)
    store.store.clear()
    assert set(dataset.paths) == uris.keys()
    row = dataset.paths.index("memory://pack/red/0")
    assert dataset.read_picture(row) == contents[Path("red/0.png")]
    assert not list(find_wrong_suffixes(dataset, 32))  # an address needs no suffix
    splitting.write_csv(dataset, tmp_path / "split.csv")
    assert "\nmemory://pack/red/0," in (tmp_path / "split.csv").read_text(encoding="utf-8")


def test_deeper_folders_belong_to_their_class(folder: Path) -> None:
    (folder / "red" / "monday").mkdir()
    (folder / "red" / "0.png").rename(folder / "red" / "monday" / "0.png")
    dataset = read(folder)
    assert "red/monday/0.png" in dataset.paths
    assert dataset.classes == ("blue", "red")


def test_files_that_are_not_pictures_are_left_out_with_a_reason(folder: Path) -> None:
    good = (folder / "red/0.png").read_bytes()
    (folder / "red/cut.png").write_bytes(good[: len(good) // 2])
    (folder / "red/empty.jpg").write_bytes(b"")
    (folder / "red/text.jpg").write_text("hello")
    (folder / "red/wrong.jpg").write_bytes(good)
    (folder / "red/old.jp2").write_bytes(b"\0\0\0\x0cjP  ")
    (folder / "red/noname").write_bytes(b"text")
    (folder / "lost.png").write_bytes(good)
    (folder / "red/.hidden.png").write_bytes(good)
    dataset = read(folder)
    left_out = reasons(dataset)
    assert "damaged or cut short" in left_out["red/cut.png"]
    assert "empty" in left_out["red/empty.jpg"]
    assert "is text, not a picture" in left_out["red/text.jpg"]
    assert "JPEG 2000; convert it" in left_out["red/old.jp2"]
    assert "is text, not a picture" in left_out["red/noname"]
    assert "is not in a class folder" in left_out["lost.png"]
    assert "is hidden" in left_out["red/.hidden.png"]
    assert len(left_out) == 7
    assert len(dataset.paths) == len(dataset.inspections) == 8
    # Inspections and paths still match, although files between them are left out.
    for path, digest, inspection in zip(
        dataset.paths, dataset.digests, dataset.inspections, strict=True
    ):
        content = (folder / path).read_bytes()
        assert digest == hashlib.sha256(content).hexdigest()
        assert inspection == inspect_picture(content)


def test_a_picture_with_a_wrong_suffix_is_used(folder: Path) -> None:
    Image.open(folder / "red/0.png").rotate(90).save(folder / "red/wrong.jpg", "PNG")
    dataset = read(folder)
    assert "red/wrong.jpg" in dataset.paths
    assert dataset.left_out == ()


def test_folders_without_pictures_are_not_classes(folder: Path) -> None:
    (folder / "licence").mkdir()
    (folder / "licence/LICENSE.txt").write_text("free")
    (folder / ".cache").mkdir()
    shutil.copy(folder / "red/0.png", folder / ".cache")
    (folder / "empty").mkdir()
    assert read(folder).classes == ("blue", "red")


def test_a_class_with_one_readable_picture_is_refused(folder: Path) -> None:
    (folder / "green").mkdir()
    shutil.copy(folder / "red/0.png", folder / "green")
    (folder / "green/bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(
        DataError,
        match=r"2 readable pictures, but there are fewer in `green` \(1\): (.|\n)*bad\.png",
    ):
        check(folder)


def test_a_class_without_readable_pictures_is_refused(folder: Path) -> None:
    (folder / "green").mkdir()
    (folder / "green/bad.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"`green` \(0\)"):
        check(folder)


def test_a_single_class_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "red")
    with pytest.raises(DataError, match="has only one class \\(`blue`\\)"):
        check(folder)


def test_split_folders_are_used(tmp_path: Path, draw_folder: DrawFolder) -> None:
    for part, count in (("train", 3), ("valid", 1), ("Test", 2)):
        draw_folder(tmp_path / "pictures" / part, red=count, blue=count)
    dataset = read(tmp_path / "pictures")
    assert dataset.classes == ("blue", "red")
    assert [len(dataset.rows(part)) for part in ("train", "validation", "test")] == [6, 2, 4]
    assert "valid/red/0.png" in dataset.paths


def test_a_class_may_be_called_test(tmp_path: Path, draw_folder: DrawFolder) -> None:
    folder = draw_folder(tmp_path / "pictures", red=2, blue=2)
    (folder / "blue").rename(folder / "test")
    assert read(folder).classes == ("red", "test")


def test_the_fingerprint_depends_on_content_names_and_classes(folder: Path) -> None:
    before = read(folder).fingerprint
    assert read(folder).fingerprint == before
    Image.new("RGB", (40, 40)).save(folder / "red/0.png")
    changed = read(folder).fingerprint
    assert changed != before
    (folder / "red/0.png").rename(folder / "red/9.png")
    assert read(folder).fingerprint != changed


def test_a_class_of_unsupported_pictures_is_refused(
    tmp_path: Path, draw_folder: DrawFolder
) -> None:
    folder = draw_folder(tmp_path / "pictures", red=3, blue=3)
    (folder / "scans").mkdir()
    (folder / "scans/1.psd").write_bytes(b"8BPS")
    (folder / "notes.txt").write_text("findings are listed before other files")
    with pytest.raises(DataError, match=r"`scans` \(0\): .*left out:\n  scans/1\.psd: .*Photoshop"):
        check(folder)


def test_copies_are_in_one_group(folder: Path) -> None:
    shutil.copy(folder / "blue/1.png", folder / "red/a.png")
    dataset = read(folder)
    assert dataset.duplicate_groups.tolist() == [0, 1, 2, 3, 4, 5, 6, 1]


def test_long_lists_of_names_are_shortened() -> None:
    assert format_names([f"`{name}`" for name in "abcdefg"]) == "`a`, `b`, `c`, `d`, `e` and 2 more"


def test_the_rarest_label_stands_for_a_picture(tmp_path: Path, draw_folder: DrawFolder) -> None:
    draw_folder(tmp_path, red=5)
    lines = ["path,label", *("red/0.png,a|b", "red/1.png,b", "red/2.png,", "red/3.png,c|b|a")]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    files = scan(tmp_path / "labels.csv", task="multi-label")
    dataset = load_dataset(files, Cache(tmp_path / "c", 0, tmp_path / "work", SILENT))
    assert dataset.classes == ("a", "b", "c")
    assert dataset.is_multi_label
    assert dataset.labels.tolist() == [0, 1, 3, 2]  # 3: no label
    assert dataset.names(np.arange(4)) == ["a|b", "b", "", "a|b|c"]
    assert dataset.class_counts() == {"a": 2, "b": 3, "c": 1}
    assert dataset.count_classes(np.array([0, 2])).tolist() == [1, 1, 0]
    assert "without a label, examples of none of them: 1" in dataset.layout.notes[1]


def test_names_and_counts_of_single_labels(folder: Path) -> None:
    dataset = read(folder)
    assert not dataset.is_multi_label
    assert dataset.names(np.array([0, 3])) == ["blue", "red"]
    assert dataset.count_classes(np.array([0, 3, 4])).tolist() == [1, 2]


def test_one_label_is_better_two_classes(tmp_path: Path, draw_folder: DrawFolder) -> None:
    draw_folder(tmp_path, red=3)
    (tmp_path / "labels.csv").write_text("path,label\nred/0.png,a\nred/1.png,a\nred/2.png,\n")
    files = scan(tmp_path / "labels.csv", task="multi-label")
    dataset = load_dataset(files, Cache(tmp_path / "c", 0, tmp_path / "work", SILENT))
    with pytest.raises(DataError, match=r"has only one label \(`a`\).* one of two classes"):
        check_classes(dataset)
