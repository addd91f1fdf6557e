from __future__ import annotations

import errno
import os
import shutil
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.scan import LeftOut, Scan
from trainers.dataset.scanning import scan

DrawFolder = Callable[..., Path]


def names(result: Scan) -> list[tuple[str, str, str]]:
    return [(file.name, file.label, file.split) for file in result.pictures]


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_files_are_listed_in_a_fixed_order_with_their_class(tmp_path: Path) -> None:
    result = scan(touch(tmp_path, "b/2.PNG", "b/1.jpg", "a/deep/x.webp", "a/y.jpeg"))
    assert names(result) == [
        ("a/y.jpeg", "a", ""),
        ("a/deep/x.webp", "a", ""),
        ("b/1.jpg", "b", ""),
        ("b/2.PNG", "b", ""),
    ]


def test_hidden_files_and_folders_are_skipped(tmp_path: Path) -> None:
    result = scan(touch(tmp_path, "a/1.jpg", "a/._1.jpg", ".git/3.jpg", "a/.DS_Store"))
    assert [file.name for file in result.pictures] == ["a/1.jpg"]
    assert result.left_out == ()


def test_system_files_are_skipped(tmp_path: Path) -> None:
    data = touch(tmp_path, "a/1.jpg", "a/Thumbs.db", "b/2.jpg", "b/Desktop.INI", "b/Icon\r")
    assert scan(data).left_out == ()


def test_hidden_pictures_and_folders_are_left_out(tmp_path: Path) -> None:
    result = scan(touch(tmp_path, "a/1.jpg", "a/.2.jpg", ".Trash-1000/4.jpg", "a/.snapshot/1.jpg"))
    paths = (".Trash-1000", "a/.snapshot", "a/.2.jpg")
    assert result.left_out == tuple(LeftOut(path, "is hidden, so it is not read") for path in paths)


def test_files_that_are_not_pictures_are_left_out(tmp_path: Path) -> None:
    data = touch(tmp_path, "a/1.jpg", "lost.jpg", "b/2.jpg", "licence/LICENSE", "b/a.xyz")
    (data / "a/notes.txt").write_text("red ones")
    (data / "licence/LICENSE").write_text("free")
    (data / "b/a.xyz").write_bytes(bytes(range(256)))
    assert {file.path: file.reason.split(":")[0] for file in scan(data).left_out} == {
        "a/notes.txt": "is text, not a picture",
        "lost.jpg": "is not in a class folder",
        "licence/LICENSE": "is text, not a picture",
        "b/a.xyz": "is not a picture of a known format",
    }


def test_split_folders_are_recognized_by_their_usual_names(tmp_path: Path) -> None:
    result = scan(touch(tmp_path, "Train/a/1.jpg", "val/a/2.jpg", "test/a/3.jpg"))
    assert names(result) == [
        ("Train/a/1.jpg", "a", "train"),
        ("test/a/3.jpg", "a", "test"),
        ("val/a/2.jpg", "a", "validation"),
    ]


def test_a_train_folder_alone_is_a_split_if_it_holds_classes(tmp_path: Path) -> None:
    result = scan(touch(tmp_path, "train/a/1.jpg", "train/b/2.jpg", "docs/readme.txt"))
    assert names(result) == [("train/a/1.jpg", "a", "train"), ("train/b/2.jpg", "b", "train")]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert scan(touch(tmp_path, "train/1.jpg", "car/2.jpg")).classes == ("car", "train")


def test_training_and_testing_are_split_folders_too(tmp_path: Path) -> None:
    result = scan(touch(tmp_path, "training/a/1.jpg", "testing/a/2.jpg"))
    assert [file.split for file in result.pictures] == ["test", "train"]


def test_without_train_the_other_split_names_are_classes(tmp_path: Path) -> None:
    result = scan(touch(tmp_path, "test/a/1.jpg", "cats/1.jpg"))
    assert all(file.split == "" for file in result.pictures)
    assert result.classes == ("cats", "test")


def test_an_ambiguous_layout_is_refused_with_the_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"^{tmp_path}: .* has test, val but no folder for train"):
        scan(touch(tmp_path, "test/a/1.jpg", "val/a/1.jpg"))


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no pictures .*looked for \.jpg \.jpeg.*one sub-folder per"
    ):
        scan(tmp_path)


def test_pictures_outside_class_folders_are_listed_briefly(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"left out:\n  1\.jpg: is not in a class folder") as error:
        scan(touch(tmp_path, *(f"{number}.jpg" for number in range(1, 31))))
    assert str(error.value).count("is not in a class folder") == 5
    assert str(error.value).endswith("\n  and 25 more")


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder .*nowhere; set --data to a folder, an archive"):
        scan(tmp_path / "nowhere")


def test_folders_without_pictures_beside_splits_do_not_matter(tmp_path: Path) -> None:
    result = scan(touch(tmp_path, "train/a/1.jpg", "test/a/2.jpg", "docs/readme.txt", "empty/.x"))
    assert names(result) == [("test/a/2.jpg", "a", "test"), ("train/a/1.jpg", "a", "train")]


@pytest.mark.parametrize("others", [(), ("test/a/2.jpg",)])
def test_classes_beside_splits_are_refused(tmp_path: Path, others: tuple[str, ...]) -> None:
    """Otherwise, the model would learn the difference between train and test."""
    with pytest.raises(DataError, match=r"\(.*train\) and, next to them, .*\(cats\): move"):
        scan(touch(tmp_path, "train/a/1.jpg", "cats/3.jpg", *others))


def test_links_are_followed_once(tmp_path: Path) -> None:
    data = touch(tmp_path / "data", "a/1.jpg", "b/2.jpg")
    (data / "c").symlink_to(touch(tmp_path / "elsewhere", "3.jpg"))
    (data / "a/loop").symlink_to(data)
    (data / "b/gone.jpg").symlink_to(tmp_path / "nowhere")
    (data / "d").symlink_to(tmp_path / "nowhere")
    (data / "e").mkdir()
    (data / "e/loop").symlink_to(data)
    result = scan(data)
    assert [file.name for file in result.pictures] == ["a/1.jpg", "b/2.jpg", "c/3.jpg"]
    assert {file.path: file.reason for file in result.left_out} == {
        "a/loop": "is already read under another path",
        "b/gone.jpg": "is a broken link",
        "d": "is a broken link",
        "e/loop": "is already read under another path",
    }


def test_a_class_still_in_icloud_is_a_class(tmp_path: Path) -> None:
    result = scan(touch(tmp_path, "a/1.jpg", "b/.1.jpg.icloud"))
    assert result.classes == ("a", "b")
    assert result.left_out == (
        LeftOut("b/.1.jpg.icloud", "is still in iCloud: download it", "pointer"),
    )


def test_a_link_does_not_replace_the_real_folder(tmp_path: Path) -> None:
    data = touch(tmp_path, "healthy/1.jpg", "sick/2.jpg")
    (data / "all").symlink_to(data / "healthy")
    result = scan(data)
    assert result.classes == ("healthy", "sick")
    assert [file.path for file in result.left_out] == ["all"]


def test_a_link_puts_no_picture_into_two_splits(tmp_path: Path) -> None:
    data = touch(tmp_path, "train/a/1.jpg", "val/a/2.jpg")
    (data / "test").symlink_to(data / "val")
    result = scan(data)
    assert len({file.path.resolve() for file in result.pictures}) == len(result.pictures) == 2


def test_special_files_are_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = touch(tmp_path, "a/1.jpg", "a/folder.jpg/2.jpg")
    os.mkfifo(data / "a/pipe.jpg")  # reading it would block for ever
    os.mkfifo(data / "a/pipe")
    (data / "b/empty.jpg").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(data)  # a socket's address has 108 bytes at most
        listener.bind("a/socket.jpg")
        result = scan(data)
    assert [file.name for file in result.pictures] == ["a/1.jpg", "a/folder.jpg/2.jpg"]
    assert result.classes == ("a",)
    assert {file.path: file.reason for file in result.left_out} == {
        **dict.fromkeys(("a/pipe", "a/pipe.jpg", "a/socket.jpg"), "is not a regular file"),
        "b/empty.jpg": "is empty",
    }


def test_empty_folders_are_left_out_with_a_finding(tmp_path: Path) -> None:
    (touch(tmp_path, "a/1.jpg", "c/.gitkeep", "d/.git/1.jpg") / "b").mkdir()
    result = scan(tmp_path)
    assert result.left_out == tuple(LeftOut(name, "is empty", "empty_class") for name in "bcd")
    assert result.classes == ("a",)


def test_folders_of_unsupported_pictures_are_classes_and_folders_of_texts_are_not(
    tmp_path: Path,
) -> None:
    data = touch(tmp_path, "a/1.jpg", "b/1.bmp", "c/1.HEIC", "licence/LICENSE", "notes/x.txt")
    touch(data, "e/1.ppm", "table/1.csv", "table/2.json")
    (data / "d").mkdir()
    (data / "d/nameless").write_bytes(b"\xff\xd8\xff\xe0")
    assert scan(data).classes == ("a", "b", "c", "d", "e")


def test_pictures_with_another_suffix_are_found_by_content(tmp_path: Path) -> None:
    data = touch(tmp_path, "a/1.jpg", "a/2.jp2", "a/notes.txt")
    for name in ("a/3.jp2", "a/4.JXL", "a/nameless", "a/notes.csv", "lost.jp2"):
        (data / name).write_bytes(b"\xff\xd8\xff\xe0")
    result = scan(data)
    names = ["a/1.jpg", "a/3.jp2", "a/4.JXL", "a/nameless", "a/notes.csv"]
    assert [file.name for file in result.pictures] == names
    assert {file.path: file.kind for file in result.left_out} == {
        "a/2.jp2": "empty_file",
        "a/notes.txt": "",
        "lost.jp2": "misplaced",
    }


@pytest.mark.parametrize(
    "name",
    [
        *("1.jpe", "1.mpo", "1.jpg?w=500", "1.jpg.1", "1.jpg_large", "1.jpg ", "1.jpg!w700"),
        *("frame_1.04", "IMG.2021-05-1", "1.jpg.bak", "1.JPG.", "1.tmp", "1.php", "nameless"),
    ],
)
def test_a_class_with_unusual_suffixes_is_a_class(tmp_path: Path, name: str) -> None:
    data = touch(tmp_path, "a/1.jpg", "b/1.jpg", f"c/{name}")
    (data / "c" / name).write_bytes(b"\xff\xd8\xff\xe0")
    result = scan(data)
    assert result.classes == ("a", "b", "c")
    assert result.pictures[-1].name == f"c/{name}"


@pytest.mark.parametrize("name", ["scan", "1.dat", "1.dcm"])
def test_a_class_of_unsupported_pictures_is_a_class(tmp_path: Path, name: str) -> None:
    data = touch(tmp_path, "a/1.jpg", "b/1.jpg", f"c/{name}")
    (data / "c" / name).write_bytes(bytes(128) + b"DICM" + bytes(range(100)))
    result = scan(data)
    assert result.classes == ("a", "b", "c")
    assert [file.kind for file in result.left_out] == ["unsupported"]


def test_a_closed_folder_is_left_out_with_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = touch(tmp_path, "a/1.jpg", "b/2.jpg", "b/closed/3.jpg")
    deny_opening(monkeypatch, "closed")
    result = scan(data)
    reason = "cannot be opened: Permission denied"
    assert result.left_out == (LeftOut("b/closed", reason, "unreadable"),)


def test_a_closed_class_folder_is_still_a_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = touch(tmp_path, "a/1.jpg", "b/2.jpg", "closed/3.jpg")
    deny_opening(monkeypatch, "closed")
    assert scan(data).classes == ("a", "b", "closed")
    deny_opening(monkeypatch, data.name)
    with pytest.raises(DataError, match=r"--data .*cannot be opened: .*make it readable"):
        scan(data)


def deny_opening(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Make folders of this name fail to open, with a patch because root may open everything."""
    original_scandir = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == name:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original_scandir(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_system_folders_are_left_out_with_a_reason(tmp_path: Path) -> None:
    folders = ("#recycle", "$Recycle.Bin", "@Recycle", "Thumbs", "__MACOSX", "lost+found")
    data = touch(
        tmp_path, "a/1.jpg", "a/@EADIR/1.jpg/thumb.jpg", *(f"{name}/2" for name in folders)
    )
    for name in folders:
        (data / name / "2").write_bytes(b"\xff\xd8\xff\xe0")
    result = scan(data)
    assert [file.name for file in result.pictures] == ["a/1.jpg"]
    assert result.classes == ("a",)
    assert {file.path for file in result.left_out} == {"a/@EADIR", *folders}
    assert {file.reason.split(":")[0] for file in result.left_out} == {
        "is a folder made by an operating system or a tool"
    }


def test_bundles_and_the_cache_are_not_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = "artifacts/classifier-1"
    data = touch(tmp_path, "a/1.jpg", "b/2.jpg", f"{bundle}/golden/1.png", f"{bundle}/model.onnx")
    touch(data, f"{bundle}/manifest.json", f"{bundle}/metrics.json", "mine/graft/samples/red/1.png")
    monkeypatch.setenv("GRAFT_CACHE", str(data / "mine/graft"))
    result = scan(data)
    assert result.classes == ("a", "b")
    assert {file.path: file.reason for file in result.left_out} == {
        bundle: "is a bundle, an output of Graft",
        "mine/graft": "is the cache of Graft",
    }


def test_unlabelled_pictures_are_left_out_with_a_reason(tmp_path: Path) -> None:
    data = touch(tmp_path, "seg_train/seg_train/a/1.jpg", "seg_test/seg_test/a/2.jpg")
    result = scan(touch(data, "seg_pred/seg_pred/3.jpg"))
    assert names(result) == [
        ("seg_test/seg_test/a/2.jpg", "a", "test"),
        ("seg_train/seg_train/a/1.jpg", "a", "train"),
    ]
    reason = "is in a folder of unlabelled pictures"
    assert result.left_out == (LeftOut("seg_pred/seg_pred/3.jpg", reason),)
    assert result.classes == ("a",)


def test_an_archive_is_read_like_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    data = touch(tmp_path / "data", "archive/a/1.jpg", "archive/b/2.jpg")
    for kind in ("zip", "gztar"):
        packed = scan(Path(shutil.make_archive(str(tmp_path / "pics"), kind, data)))
        assert (
            names(packed)
            == names(scan(data))
            == [
                ("archive/a/1.jpg", "a", ""),
                ("archive/b/2.jpg", "b", ""),
            ]
        )
        assert packed.layout.notes == ("the class folders are in archive",)


def test_links_in_an_archive_are_findings_if_a_picture_or_a_class_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    data = touch(tmp_path / "data", "a/1.jpg", "b/2.jpg")
    for name in ("a/3.jpg", "c", "readme.txt"):
        (data / name).symlink_to(tmp_path)
    left_out = scan(Path(shutil.make_archive(str(tmp_path / "pics"), "tar", data))).left_out
    assert {file.path: file.kind for file in left_out} == {
        "./a/3.jpg": "unreadable",
        "./c": "unreadable",
        "./readme.txt": "",
    }
    assert all("is a link" in file.reason for file in left_out)


def test_an_archive_in_an_empty_folder_is_suggested(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"or name an archive, e\.g\. --data {tmp_path}/a\.zip"):
        scan(touch(tmp_path, "a.zip", "readme.txt"))


def test_a_data_folder_with_an_unprintable_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--data .*two\\x0alines has control"):
        scan(touch(tmp_path / "two\nlines", "a/1.jpg"))


@pytest.mark.parametrize(
    "name", ["データ　写真", "می‌خواهم", "👩‍🔬", "a\xa0b", "1.00\u202fPM", "a\xadb"]
)
def test_names_in_all_writing_systems_are_read(tmp_path: Path, name: str) -> None:
    result = scan(touch(tmp_path / name, f"{name}/{name}.jpg", "b/1.jpg"))
    assert name in result.classes
    assert len(result.pictures) == 2


def test_unprintable_names_are_left_out(tmp_path: Path) -> None:
    data = touch(tmp_path, "a/1.jpg", "b/2.jpg")
    for name in (b"a/\xff.jpg", b"a/\xfe.txt", b"c\xff/3.jpg", b"a/\x1b[2J\n.jpg", b"d\n/4.jpg"):
        path = data / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.touch()
    result = scan(data)
    assert result.classes == ("a", "b", "c\\udcff", "d\\x0a")  # classes without a readable picture
    reason = "has control characters in its name, or a name that is not UTF-8: rename it"
    names = (
        "a/\\udcff.jpg",
        "a/\\udcfe.txt",
        "c\\udcff/3.jpg",
        "a/\\x1b[2J\\x0a.jpg",
        "d\\x0a/4.jpg",
    )
    assert {file.path: file.reason for file in result.left_out} == dict.fromkeys(names, reason)


def test_what_is_not_a_table_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "labels.csv")
    for name, message in {
        "labels.csv": "there is no file",
        "none.csv": "there is no file",
        "labels.xlsx": "is a spreadsheet: save the table as CSV",
    }.items():
        with pytest.raises(DataError, match=message):
            scan(tmp_path / name)
    message = (
        "--data https://example.org/a.zip .*: download it first; only the paths in a table may"
    )
    with pytest.raises(DataError, match=message):
        scan(Path("https://example.org/a.zip"))


def test_several_lines_of_a_picture_add_up_its_labels(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg", "2.jpg")
    table = tmp_path / "labels.csv"
    table.write_text("path,label\n1.jpg,dog\n1.jpg,cat\n2.jpg,\n")
    result = scan(table, task="multi-label")
    assert [file.label for file in result.pictures] == ["cat|dog", ""]
    assert (result.classes, result.is_multi_label) == (("cat", "dog"), True)
    with pytest.raises(DataError, match=r"1\.jpg has another class.*line 3.* or add --task multi"):
        scan(table, task="auto")


def test_a_folder_has_no_several_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="several labels per picture need a table of labels"):
        scan(touch(tmp_path, "a/1.jpg", "b/2.jpg"), task="multi-label")


def test_a_file_that_is_no_table_of_labels_does_not_hide_the_problem_of_the_folder(
    tmp_path: Path,
) -> None:
    for name, text in {
        "info.json": '{"author": "me"}',
        "notes.csv": "date,weather\n2026-01-01,sun\n",
        "damaged.json": "{",
    }.items():
        data = touch(tmp_path / name, "healthy/1.jpg", "healthy/2.jpg")
        (data / name).write_text(text)
        result = scan(data)
        assert result.classes == ("healthy",)
        (file,) = result.left_out
        assert file.path == name
        assert file.reason.startswith("is not used as a table of labels: ")
    both = touch(tmp_path / "splits", "test/a/1.jpg", "val/a/1.jpg", "notes.csv")
    with pytest.raises(
        DataError, match=r"no folder for train.*\n  notes\.csv: is not used as a ta"
    ):
        scan(both)


def test_tables_beside_flat_pictures_are_mentioned_at_the_end(tmp_path: Path) -> None:
    names = [f"{number}.{suffix}" for number in range(9) for suffix in ("jpg", "json")]
    message = (
        r"(?s)^no pictures in the sub-folders.* 0\.jpg: is not in a class folder.*\n  0\.json, "
        r"1\.json, 2\.json and 6 more: each is not used .* several tables .*: set --data to the"
    )
    with pytest.raises(DataError, match=message):
        scan(touch(tmp_path, *names))


def test_a_wrong_cell_of_a_table_is_the_problem_of_the_folder(tmp_path: Path) -> None:
    data = touch(tmp_path, "images/1.jpg")
    (data / "labels.csv").write_text("path,label,split\n1.jpg,cat,nonsense\n")
    with pytest.raises(DataError, match=r"labels\.csv, line 2: the split is `nonsense`"):
        scan(data)


def test_a_table_that_contradicts_the_folders_is_refused(tmp_path: Path) -> None:
    data = touch(tmp_path, "part_1/a.jpg", "part_2/b.jpg")
    (data / "labels.csv").write_text("image_id,label\na,mole\nb,melanoma\n")
    message = r"part_1/a\.jpg is `mole` in labels\.csv, line 2\. Set --data to .*labels\.csv"
    with pytest.raises(DataError, match=message):
        scan(data)
    assert scan(data / "labels.csv").classes == ("melanoma", "mole")
    (data / "labels.csv").write_text("image_id,label\na,Part 1\nb,Part_2\n")
    assert scan(data).classes == ("part_1", "part_2")


def test_a_table_in_an_archive_names_no_files_outside(tmp_path: Path) -> None:
    touch(tmp_path, "private.jpg")
    for outside in (str(tmp_path / "private.jpg"), f"file://{tmp_path}/private.jpg"):
        archive = tmp_path / f"{len(outside)}.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("labels.csv", f"path,label\na.jpg,cat\nb.jpg,dog\n{outside},cat\n")
            file.writestr("a.jpg", "")
            file.writestr("b.jpg", "")
        with pytest.raises(DataError, match=r"names a file outside the archive, .*private\.jpg"):
            scan(archive)
