from __future__ import annotations

import unicodedata

import pytest

from trainers.dataset.folders.filenames import (
    SYSTEM_FOLDERS,
    escape,
    is_hidden,
    is_printable,
    is_split_name,
    is_system_folder,
    normalize,
    split_of,
    suffix_of,
)


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("a\x1b[2J\n", "a\\x1b[2J\\x0a"),
        ("c\x85", "c\\x85"),
        ("\udcff.jpg", "\\udcff.jpg"),
        ("two\u2028lines\u2029", "two\\u2028lines\\u2029"),
        ("photo\u202egpj.exe", "photo\\u202egpj.exe"),
    ],
)
def test_control_characters_are_unprintable_and_escaped(name: str, escaped: str) -> None:
    assert not is_printable(name)
    assert escape(name) == escaped


@pytest.mark.parametrize(
    "name", ["データ　写真", "می‌خواهم", "👩‍🔬", "a\xa0b", "a\xadb", "1\u202fPM", "א\u200fב", ""]
)
def test_spaces_and_joiners_of_all_writing_systems_are_printable(name: str) -> None:
    assert is_printable(name)
    assert escape(name) == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *[(f"1{end}", ".jpg") for end in (".JPG", ".jpg?w=500", ".jpg.1", ".jpg_large", ".jpg ")],
        *[(f"1{end}", ".jpg") for end in (".jpg:large", ".jpg!w700", ".jpg@1280w", ".jpg (1)")],
        ("1.tiff.12", ".tiff"),
        ("a.b.png", ".png"),
        ("1.jpg.txt", ".txt"),
        ("1.jpg.part", ".part"),
        ("1.jpgx", ".jpgx"),
        ("frame.04", ".04"),
        ("LICENSE", ""),
    ],
)
def test_endings_added_by_downloads_are_not_part_of_the_suffix(name: str, expected: str) -> None:
    assert suffix_of(name) == expected


def test_hidden_names_and_system_folders() -> None:
    assert all(map(is_hidden, (".git", "Thumbs.db", "DESKTOP.INI", "Icon\r", ".Trash")))
    assert not any(map(is_hidden, ("Thumbs.jpg", "icon", "desktop")))
    assert all(map(is_system_folder, ("@eaDir", "#RECYCLE", "System Volume Information")))
    assert not any(map(is_system_folder, ("trash", "Recycled", "thumbs_up", "snapshot", "@home")))
    assert all(name == name.casefold() for name in SYSTEM_FOLDERS)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *[(name, "train") for name in ("train", "Training Data", "training_set", "TrainingSet")],
        *[(name, "train") for name in ("trainset", "train-images", "train2017", "images_train")],
        *[(name, "validation") for name in ("val", "VALID", "Validation Data", "dev_set")],
        *[(name, "test") for name in ("test_dir", "Testing", "evaluation", "testImages")],
    ],
)
def test_common_names_of_split_folders_are_recognized(name: str, split: str) -> None:
    assert split_of(name) == split
    assert is_split_name(name)


def test_the_word_of_a_split_within_a_longer_name() -> None:
    assert (split_of("seg_train"), is_split_name("seg_train")) == ("train", False)
    assert (split_of("test tube"), is_split_name("test tube")) == ("test", False)
    assert not any(map(split_of, ("trains", "train_test", "contest", "latest", "value")))


def test_similar_names_are_equal_once_normalized() -> None:
    nfc, nfd = (unicodedata.normalize(form, "Café") for form in ("NFC", "NFD"))
    for first, second in ((nfc, nfd), ("Cat", "cat"), ("New York", "new_york"), ("ａ", "a")):
        assert normalize(first) == normalize(second)
    assert normalize("cat") != normalize("cats")
