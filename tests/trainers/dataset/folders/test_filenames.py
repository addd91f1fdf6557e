from __future__ import annotations

import unicodedata

import pytest

from trainers.dataset.folders.filenames import (
    SYSTEM_FOLDERS,
    ending,
    is_hidden,
    is_of_system,
    is_plain_split,
    is_text,
    looks,
    printable,
    split_of,
)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\x1b[2J\n", "a\\x1b[2J\\x0a"),
        ("c\x85", "c\\x85"),
        ("\udcff.jpg", "\\udcff.jpg"),
        ("two\u2028lines\u2029", "two\\u2028lines\\u2029"),
        ("photo\u202egpj.exe", "photo\\u202egpj.exe"),
    ],
)
def test_what_steers_is_no_text_and_shown_by_its_code(name: str, shown: str) -> None:
    assert not is_text(name)
    assert printable(name) == shown


@pytest.mark.parametrize(
    "name", ["データ　写真", "می‌خواهم", "👩‍🔬", "a\xa0b", "a\xadb", "1\u202fPM", "א\u200fב", ""]
)
def test_the_blanks_and_joiners_of_every_script_are_text(name: str) -> None:
    assert is_text(name)
    assert printable(name) == name


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
def test_what_downloads_hang_onto_an_ending_is_none_of_it(name: str, expected: str) -> None:
    assert ending(name) == expected


def test_hidden_names_and_those_of_systems() -> None:
    assert all(map(is_hidden, (".git", "Thumbs.db", "DESKTOP.INI", "Icon\r", ".Trash")))
    assert not any(map(is_hidden, ("Thumbs.jpg", "icon", "desktop")))
    assert all(map(is_of_system, ("@eaDir", "#RECYCLE", "System Volume Information")))
    assert not any(map(is_of_system, ("trash", "Recycled", "thumbs_up", "snapshot", "@home")))
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
def test_plain_names_of_splits(name: str, split: str) -> None:
    assert split_of(name) == split
    assert is_plain_split(name)


def test_names_that_speak_of_more_than_a_split() -> None:
    assert (split_of("seg_train"), is_plain_split("seg_train")) == ("train", False)
    assert (split_of("test tube"), is_plain_split("test tube")) == ("test", False)
    assert not any(map(split_of, ("trains", "train_test", "contest", "latest", "value")))


def test_look_alikes() -> None:
    nfc, nfd = (unicodedata.normalize(form, "Café") for form in ("NFC", "NFD"))
    for one, other in ((nfc, nfd), ("Cat", "cat"), ("New York", "new_york"), ("ａ", "a")):
        assert looks(one) == looks(other)
    assert looks("cat") != looks("cats")
