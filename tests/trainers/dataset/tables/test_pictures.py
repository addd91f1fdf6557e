from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from trainers.config import ConfigError
from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.scan import LeftOut, Scan
from trainers.dataset.scanning import open_folder, picture_path, scan

JPEG = b"\xff\xd8\xff\xe0"
"""The first bytes of a picture."""


def names(result: Scan) -> list[tuple[str, str, str]]:
    return [(file.name, file.label, file.split) for file in result.pictures]


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def write_table(folder: Path, *lines: str) -> Path:
    (folder / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "labels.csv"


def test_a_table_gives_the_class_split_and_group_of_each_picture(tmp_path: Path) -> None:
    touch(tmp_path, "data/b/1.jpg", "data/2.jpg", "elsewhere/3.jpg")
    table = write_table(
        tmp_path / "data",
        "path,label,split,patient",
        "b/1.jpg,dog,test,p1",
        "2.jpg,cat,,p2",
        f"{tmp_path}/elsewhere/3.jpg,cat,,",
        "4.jpg,bird,,",
        f"{tmp_path}/data/b/1.jpg,dog,test,p1",
    )
    result = scan(table)
    outside = (tmp_path / "elsewhere/3.jpg").as_posix()
    assert names(result) == [(outside, "cat", ""), ("2.jpg", "cat", ""), ("b/1.jpg", "dog", "test")]
    assert [file.group for file in result.pictures] == ["", "p2", "p1"]
    assert [file.group for file in scan(table, r"\d").pictures] == ["", "", ""]
    assert result.classes == ("bird", "cat", "dog")
    reason = "does not exist"
    assert result.left_out == (LeftOut("4.jpg", reason, "unreadable", "labels.csv, line 5"),)
    assert (result.folder, result.data_path) == (tmp_path / "data", table)
    assert open_folder(table) == tmp_path / "data"
    assert result.layout.notes[0].startswith("the columns of labels.csv: path = `path`")


def test_unlabelled_pictures_of_a_table_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg", "2.jpg", "3.jpg")
    table = write_table(tmp_path, "path,label,split", "1.jpg,cat,", "2.jpg,,", "3.jpg,cat,predict")
    result = scan(table)
    assert names(result) == [("1.jpg", "cat", "")]
    reason = "is in a split of unlabelled pictures"
    assert result.left_out == (
        LeftOut("2.jpg", "has no label", place="labels.csv, line 3"),
        LeftOut("3.jpg", reason, place="labels.csv, line 4"),
    )


@pytest.mark.parametrize(
    "line", ["a/1.jpg,dog,train,p1", "1,cat,test,p1", "a/../a/1.jpg,cat,train,p2"]
)
def test_a_picture_has_one_class_split_and_group(tmp_path: Path, line: str) -> None:
    touch(tmp_path, "a/1.jpg")
    table = write_table(tmp_path, "path,label,split,group", "a/1.jpg,cat,train,p1", line)
    message = (
        r"a/1\.jpg has another class, split or group in labels\.csv, line 3 than in .*, line 2"
    )
    with pytest.raises(DataError, match=message):
        scan(table)


def test_a_group_may_name_a_column_that_is_no_regular_expression(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg", "2.jpg")
    table = write_table(tmp_path, "path,label,tree (no.", "1.jpg,cat,a", "2.jpg,dog,b")
    assert [file.group for file in scan(table, "tree (no.").pictures] == ["a", "b"]
    message = r"expression: .*, and no column of the table \(.*: .*; not used: tree \(no\.\)"
    with pytest.raises(ConfigError, match=message):
        scan(table, "tree (")
    with pytest.raises(ConfigError, match=r"not a valid regular expression: .* \d+$"):
        scan(touch(tmp_path / "folder", "cat/1.jpg", "dog/2.jpg"), "tree (")


def test_paths_do_not_depend_on_how_the_table_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "data/1.jpg", "data/2.jpg")
    table = write_table(tmp_path / "data", "path,label", f"{tmp_path}/data/1.jpg,cat", "2.jpg,dog")
    monkeypatch.chdir(tmp_path)
    assert names(scan(Path("data/labels.csv"))) == names(scan(table))
    monkeypatch.chdir(tmp_path / "data")
    assert names(scan(Path("labels.csv"))) == [("1.jpg", "cat", ""), ("2.jpg", "dog", "")]
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert names(scan(tmp_path / "link/labels.csv")) == names(scan(table))


def test_dots_after_a_link_mean_the_folder_above_its_target(tmp_path: Path) -> None:
    data = touch(tmp_path / "data", "1.jpg", "2.jpg", "away/3.jpg")
    touch(tmp_path, "other/1.jpg", "other/deep/4.jpg")
    (data / "link").symlink_to(tmp_path / "other/deep")
    (data / "inner").symlink_to(data / "away")
    lines = ("link/../1.jpg,cat", "1.jpg,dog", "link/4.jpg,cat", "inner/../2.jpg,cat")
    result = scan(write_table(data, "path,label", *lines))
    outside = (tmp_path / "other/1.jpg").as_posix()
    pictures = {file.name: file.path for file in result.pictures}
    assert pictures.keys() == {outside, "1.jpg", "link/4.jpg", "2.jpg"}
    assert all(path.samefile(data / name) for name, path in pictures.items())


def test_a_table_without_its_pictures_is_an_error(tmp_path: Path) -> None:
    table = write_table(tmp_path, "path,label", "1.jpg,cat")
    with pytest.raises(DataError, match=r"no picture to use(?s:.)*1\.jpg: does not exist"):
        scan(table)


def test_pictures_of_uris_keep_their_uri_as_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    data = touch(tmp_path / "data", "c.jpg")
    store = fsspec.filesystem("memory")
    store.pipe({"/x/a.jpg": JPEG + b"a", "/x/b.jpg": JPEG + b"b"})
    lines = ("memory://x/a.jpg,cat", "memory://x/b.jpg,dog", "memory://x/c.jpg,dog")
    here = f"{(data / 'c.jpg').as_uri()},dog"
    table = write_table(data, "image,label", *lines, here, "c.jpg,dog")
    result = scan(table)
    store.store.clear()
    assert names(result) == [
        ("c.jpg", "dog", ""),
        ("memory://x/a.jpg", "cat", ""),
        ("memory://x/b.jpg", "dog", ""),
    ]
    assert [file.path.read_bytes() for file in result.pictures] == [b"", JPEG + b"a", JPEG + b"b"]
    lost = LeftOut("memory://x/c.jpg", "does not exist", "unreadable", "labels.csv, line 4")
    assert result.left_out == (lost,)  # although c.jpg is beside the table
    for file in result.pictures:
        assert picture_path(result.folder, file.name) == file.path


def test_pictures_without_a_label_are_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    store = fsspec.filesystem("memory")
    store.pipe({f"/x/{name}.jpg": JPEG for name in "abc"})
    lines = ("memory://x/a.jpg,cat,", "memory://x/b.jpg,,", "memory://x/c.jpg,cat,predict")
    result = scan(write_table(tmp_path, "image,label,split", *lines, "memory://x/a.jpg,,"))
    store.store.clear()
    assert names(result) == [("memory://x/a.jpg", "cat", "")]
    assert [file.kind for file in result.left_out] == [""] * 3
    cached = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert cached == [result.pictures[0].path]


def roboflow(folder: Path, **rows: tuple[str, ...]) -> Path:
    """Draw an export of Roboflow: a table beside the pictures of each split."""
    for split, lines in rows.items():
        touch(folder / split, "1.jpg", "2.jpg")
        text = "\n".join(["filename, cat, set", *lines])
        (folder / split / "_classes.csv").write_text(text, encoding="utf-8")
    touch(folder, "README.roboflow.txt", "README.dataset.txt")
    return folder


def test_each_split_of_roboflow_has_its_table(tmp_path: Path) -> None:
    data = roboflow(tmp_path, train=("1.jpg, 1, 0", "2.jpg, 0, 1"), valid=("1.jpg, 0, 1",))
    result = scan(data)
    train = [("train/1.jpg", "cat", "train"), ("train/2.jpg", "set", "train")]
    assert names(result) == [*train, ("valid/1.jpg", "set", "validation")]
    assert result.classes == ("cat", "set")
    assert (result.folder, result.data_path) == (data, data)
    (note,) = result.layout.notes
    assert note.startswith("the columns of train/_classes.csv, valid/_classes.csv: path = `file")
    one = scan(data / "train")
    assert names(one) == [("1.jpg", "cat", ""), ("2.jpg", "set", "")]
    assert names(scan(data / "train/_classes.csv")) == names(one)


def test_without_a_training_split_roboflow_is_a_table_too(tmp_path: Path) -> None:
    data = roboflow(tmp_path, valid=("1.jpg,1,0",), test=("2.jpg,0,1",))
    assert names(scan(data)) == [
        ("test/2.jpg", "set", "test"),
        ("valid/1.jpg", "cat", "validation"),
    ]


def test_rows_of_roboflow_have_one_class(tmp_path: Path) -> None:
    none = scan(roboflow(tmp_path / "none", train=("1.jpg,1,0", "2.jpg,0,0")))
    assert none.left_out == (LeftOut("2.jpg", "has no label", place="train/_classes.csv, line 3"),)
    several = roboflow(tmp_path / "several", train=("1.jpg,1,0", "2.jpg,1,1"))
    with pytest.raises(
        DataError, match=r"_classes\.csv, line 3: .*several labels \(`cat`, `set`\)"
    ):
        scan(several)
    number = roboflow(tmp_path / "number", train=("1.jpg,1,0", "2.jpg,0,2"))
    with pytest.raises(DataError, match=r"the column `set` must have 0 or 1 in every line"):
        scan(number)
