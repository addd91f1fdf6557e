from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from service.bundle.reading import Bundle
from service.engine.predictor import Predictor
from tests.trainers.evaluating.conftest import SETTINGS, Choose, ChooseLabels, MakeBundle
from trainers.dataset.folders.errors import DataError
from trainers.evaluating.evaluation_set import UNKNOWN, decode_lazily, describe


def test_pictures_of_training_and_validation_are_left_out(
    folder: Path, make_bundle: MakeBundle, choose: Choose
) -> None:
    """Wherever they lie and whatever their name is: the bytes decide."""
    splits = ("train", "validation", "test", "test")
    split = {folder / f"red/{number}.jpg": name for number, name in enumerate(splits)}
    bundle = make_bundle(split)
    (folder / "red/0.jpg").rename(folder / "blue/renamed.jpg")
    chosen = choose(bundle)
    assert chosen.seen == 2
    assert [name for name in chosen.paths if name.startswith("red")] == ["red/2.jpg", "red/3.jpg"]
    assert "blue/renamed.jpg" not in chosen.paths
    assert next(describe(chosen)) == (
        "2 of 12 pictures are those that the model was trained or validated on: left out"
    )


def test_classes_are_matched_by_name(folder: Path, choose: Choose) -> None:
    (folder / "green").rename(folder / "Green")
    shutil.copytree(folder / "red", folder / "violet")
    chosen = choose()
    labels = dict(zip(chosen.paths, chosen.labels.tolist(), strict=True))
    assert labels["red/0.jpg"] == 0
    assert labels["blue/0.jpg"] == 2
    assert labels["violet/0.jpg"] == labels["Green/0.jpg"] == UNKNOWN
    assert chosen.unknown_classes == {"Green": 4, "violet": 4}
    assert chosen.absent_classes == ["green"]
    _, similar, other, absent = describe(chosen)
    assert similar.startswith(
        "`Green` (4 pictures) is not a class of the model (it has `green`: rename the folder"
    )
    assert other.startswith("`violet` (4 pictures) is not a class of the model: it does not count")
    assert absent == "classes of the model that have no picture to measure them on: `green`"


def test_a_bundle_without_hashes_cannot_tell_what_it_has_seen(
    folder: Path, make_bundle: MakeBundle, choose: Choose
) -> None:
    for bundle in (None, make_bundle({folder / "red/0.jpg": "train"}, has_digests=False)):
        chosen = choose(bundle) if bundle else choose()
        assert chosen.seen == 0
        assert len(chosen.files) == 12
        (line,) = describe(chosen)
        assert "the accuracy is too high" in line


def test_a_folder_that_the_model_has_learned_is_refused(
    folder: Path, make_bundle: MakeBundle, choose: Choose
) -> None:
    bundle = make_bundle(dict.fromkeys(folder.rglob("*.jpg"), "train"))
    with pytest.raises(DataError, match="validated on all pictures of its classes") as caught:
        choose(bundle)
    assert str(bundle.path / "metrics.json") in str(caught.value)
    shutil.copytree(folder / "red", folder / "violet")
    (folder / "violet/0.jpg").write_bytes((folder / "violet/0.jpg").read_bytes() + b"new")
    with pytest.raises(DataError, match="nothing is left"):
        choose(bundle)


def test_a_folder_without_a_class_of_the_model_is_refused(folder: Path, choose: Choose) -> None:
    for colour in ("red", "green", "blue"):
        (folder / colour).rename(folder / colour.upper())
    with pytest.raises(DataError, match=r"has no class of the model.*`BLUE`.*it has `blue`"):
        choose()


def test_archives_and_split_folders_are_read_as_in_training(
    tmp_path: Path, folder: Path, choose: Choose
) -> None:
    for name in ("train", "test"):
        (folder / name).mkdir()
    for colour in ("red", "green"):
        shutil.copytree(folder / colour, folder / "train" / colour)
        (folder / colour).rename(folder / "test" / colour)
    shutil.rmtree(folder / "blue")
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for path in folder.rglob("*.jpg"):
            archive.write(path, path.relative_to(folder))
    shutil.rmtree(folder)
    (tmp_path / "data.zip").rename(folder)
    assert len(choose().files) == 16


def test_the_fingerprint_depends_on_names_classes_and_bytes(folder: Path, choose: Choose) -> None:
    first = choose().fingerprint
    assert choose().fingerprint == first
    (folder / "red/0.jpg").rename(folder / "red/9.jpg")
    assert choose().fingerprint != first


def test_pictures_are_decoded_as_the_model_gets_them(
    folder: Path, choose: Choose, tiny_bundle: Bundle
) -> None:
    predictor = Predictor(tiny_bundle)
    chosen = decode_lazily(choose(), predictor, SETTINGS)
    row = chosen.paths.index("red/2.jpg")
    expected = predictor.decode((folder / "red/2.jpg").read_bytes())
    np.testing.assert_array_equal(chosen.images[np.array([row])][0], expected)
    (folder / "red/3.jpg").write_bytes(b"changed")
    with pytest.raises(DataError, match="was changed after the folder was read"):
        chosen.images[np.array([chosen.paths.index("red/3.jpg")])]


def test_labels_are_matched_by_name_and_unknown_ones_are_ignored(
    folder: Path, choose_labels: ChooseLabels
) -> None:
    labels = {"red/0.jpg": "green|red", "red/1.jpg": "Blue|red", "green/0.jpg": "Blue"}
    labels |= {"green/1.jpg": "", "red/2.jpg": "red"}
    _, chosen = choose_labels(labels, {folder / "red/2.jpg": "train"})
    rows = dict(zip(chosen.paths, chosen.targets.tolist(), strict=True))
    assert rows == {
        "red/0.jpg": [True, True, False],
        "red/1.jpg": [True, False, False],
        "green/0.jpg": [False, False, False],
        "green/1.jpg": [False, False, False],
    }
    assert chosen.is_known.all()
    assert chosen.unknown_classes == {"Blue": 2}
    _, unknown, absent = describe(chosen)
    assert unknown == (
        "`Blue` (2 pictures) is not a label of the model (it has `blue`: rename the label if both "
        "are the same): it is ignored, so a picture with no other label counts as one without "
        "labels"
    )
    assert absent == (
        "no picture here has these labels of the model, so an answer with one of them counts as "
        "wrong: `blue`"
    )


def test_a_table_without_a_label_of_the_model_is_refused(choose_labels: ChooseLabels) -> None:
    labels = {"red/0.jpg": "RED|scarlet", "red/1.jpg": ""}
    with pytest.raises(DataError, match=r"has no label of the model.*`RED`.*it has `red`"):
        choose_labels(labels)
