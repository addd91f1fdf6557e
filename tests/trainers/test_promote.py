"""A new model replaces the old one only if it is not worse on pictures that are new to both."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.bundle.store import resolve, save
from trainers.evaluation.promotion import find_newest
from trainers.promote import main

Draw = Callable[..., bytes]
MakeBundle = Callable[..., Bundle]

pytestmark = pytest.mark.usefixtures("empty_home")


@pytest.fixture
def data(tmp_path: Path, draw: Draw) -> Path:
    """Draw four pictures of each colour. By default, 2 and 3 are the test pictures."""
    for colour in ("red", "green", "blue"):
        (tmp_path / "data" / colour).mkdir(parents=True)
        for number in range(4):
            picture = draw(colour, size=(64, 48 + number))
            (tmp_path / "data" / colour / f"{number}.jpg").write_bytes(picture)
    return tmp_path / "data"


@pytest.fixture
def make_bundle(tmp_path: Path, data: Path, tiny_bundle: Bundle, manifest: Manifest) -> MakeBundle:
    """Make a bundle, e.g. make_bundle("new", test=(2, 3), colours=2, created="...").

    Its split.csv lists the pictures that are in `data` at that moment.

    Args:
        test: numbers of the test pictures of each colour.
        colours: the model does not recognise colours after this number.
        is_old: split.csv has no digests, as in older bundles.
        changes: fields of the manifest.
    """

    def make_bundle(
        folder: str,
        test: tuple[int, ...] = (2, 3),
        colours: int = 3,
        is_old: bool = False,
        **changes: str,
    ) -> Bundle:
        staging = tmp_path / folder / "staging"
        shutil.copytree(tiny_bundle.path, staging)
        (staging / "manifest.json").unlink()
        model = onnx.load(staging / "model.onnx")
        (matrix,) = (array for array in model.graph.initializer if array.name == "matrix")
        gains = numpy_helper.to_array(matrix).copy()
        gains[colours:] = 0
        matrix.CopyFrom(numpy_helper.from_array(gains, "matrix"))
        onnx.save(model, staging / "model.onnx")
        answers = {}
        for index, colour in enumerate(("red", "green", "blue")):
            powers = np.exp(255 * gains[index].astype(float))
            answers[f"{colour}.png"] = (powers / powers.sum()).tolist()
        (staging / "golden/answers.json").write_text(json.dumps(answers))
        with (staging / "split.csv").open("w", newline="") as file:
            names = ("path", "class", "split") if is_old else ("path", "sha256", "class", "split")
            writer = csv.DictWriter(file, names, extrasaction="ignore")
            writer.writeheader()
            for path in sorted(data.rglob("*.jpg")):
                sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
                split = "test" if int(path.stem[-1]) in test else "train"
                name, label = path.relative_to(data).as_posix(), path.parent.name
                writer.writerow({"path": name, "sha256": sha256, "class": label, "split": split})
        return seal(staging, manifest.model_copy(update=changes), tmp_path / folder)

    return make_bundle


def promote(new: Path, data: Path, replaced: str = "tiny:latest") -> int:
    return main([str(new), "--over", replaced, "--data", str(data)])


def test_a_better_model_becomes_latest(
    make_bundle: MakeBundle, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = make_bundle("old", colours=2)
    save(old)
    new = make_bundle("new")
    assert promote(new.path, data) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == f"tiny:{new.manifest.version}"
    assert "accuracy on the same test pictures (6)" in printed.err
    assert f"new model tiny:{new.manifest.version} 1.0000" in printed.err
    assert f"old model tiny:{old.manifest.version} 0.6667;" in printed.err
    assert Bundle.read(resolve("tiny:latest")).manifest == new.manifest


def test_without_over_the_latest_model_of_the_same_name_is_replaced(
    make_bundle: MakeBundle, data: Path
) -> None:
    save(make_bundle("old", colours=2))
    new = make_bundle("new")
    assert main([str(new.path), "--data", str(data)]) == 0
    assert Bundle.read(resolve("tiny:latest")).manifest == new.manifest


def test_a_worse_model_does_not_become_latest(
    make_bundle: MakeBundle, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = make_bundle("old")
    save(old)
    assert promote(make_bundle("new", colours=2).path, data) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"tiny:{old.manifest.version}"
    assert Bundle.read(resolve("tiny:latest")).manifest == old.manifest


def test_a_model_is_not_compared_with_itself(
    make_bundle: MakeBundle, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = make_bundle("new")
    save(new)  # as a training run does
    assert main([str(new.path), "--data", str(data)]) == 2
    assert "name the old model with --over" in capsys.readouterr().err


def test_a_model_that_cannot_be_saved_is_not_called_the_latest(
    make_bundle: MakeBundle,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: object, target: object, **__: object) -> None:
        raise shutil.Error([("a", f"{target}/model.onnx", "[Errno 28] No space left on device")])

    save(make_bundle("old", colours=2))
    new = make_bundle("new")
    monkeypatch.setattr(shutil, "copytree", fail)
    assert promote(new.path, data) == 2
    error = capsys.readouterr().err
    assert "is now the latest" not in error
    assert "/model.onnx cannot be written: [Errno 28] No space left on device" in error


def test_a_third_model_that_is_the_latest_is_named(
    make_bundle: MakeBundle, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, third = make_bundle("old"), make_bundle("third", created="later")
    save(old)
    save(third)
    new = make_bundle("new", colours=2)
    assert promote(new.path, data, f"tiny:{old.manifest.version}") == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"tiny:{third.manifest.version}"
    assert Bundle.read(resolve("tiny:latest")).manifest == third.manifest


def test_training_pictures_of_the_old_model_do_not_count(
    make_bundle: MakeBundle, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(make_bundle("old", test=(0, 3)))
    assert promote(make_bundle("new", test=(2, 3)).path, data) == 0
    assert "accuracy on the same test pictures (3)" in capsys.readouterr().err
    save(make_bundle("learned", test=(0, 1)))
    assert promote(make_bundle("newer", test=(2, 3), colours=2).path, data) == 2
    assert "(test pictures: 6)" in capsys.readouterr().err


def rename_pictures(data: Path) -> None:
    for path in sorted(data.rglob("*.jpg")):
        path.rename(path.with_stem(f"new-{path.stem}"))


def test_a_renamed_picture_is_recognised(
    make_bundle: MakeBundle, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(make_bundle("old", test=(0, 3)))
    rename_pictures(data)
    assert promote(make_bundle("new", test=(2, 3)).path, data) == 0
    printed = capsys.readouterr().err
    # The old model was trained on picture 2, under its old name.
    assert "accuracy on the same test pictures (3)" in printed
    assert "compared by path" not in printed


def test_a_replaced_picture_counts_as_new(
    make_bundle: MakeBundle, data: Path, draw: Draw, capsys: pytest.CaptureFixture[str]
) -> None:
    save(make_bundle("old", test=(0, 3)))
    for path in data.rglob("2.jpg"):
        path.write_bytes(draw(path.parent.name, size=(64, 99)))
    assert promote(make_bundle("new", test=(2, 3)).path, data) == 0
    assert "accuracy on the same test pictures (6)" in capsys.readouterr().err


@pytest.mark.parametrize("without_digests", ["old", "new"])
def test_a_bundle_without_digests_is_compared_by_path_with_a_warning(
    without_digests: str, make_bundle: MakeBundle, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(make_bundle("old", test=(0, 3), is_old=without_digests == "old"))
    assert promote(make_bundle("new", test=(2, 3), is_old=without_digests == "new").path, data) == 0
    printed = capsys.readouterr().err
    assert "accuracy on the same test pictures (3)" in printed
    assert "pictures are compared by path" in printed


def test_a_test_picture_that_changed_since_training_is_an_error(
    make_bundle: MakeBundle, data: Path, draw: Draw, capsys: pytest.CaptureFixture[str]
) -> None:
    save(make_bundle("old", colours=2))
    new = make_bundle("new")
    (data / "red/2.jpg").write_bytes(draw("blue"))
    assert promote(new.path, data) == 2
    assert (
        "red/2.jpg is not the picture that the new model was tested on" in capsys.readouterr().err
    )


def test_the_folder_of_a_run_means_its_newest_bundle(
    tmp_path: Path, make_bundle: MakeBundle
) -> None:
    times = ("2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z", "2026-11-01T00:00:00Z")
    bundles = [
        make_bundle(f"bundle{index}", created=created) for index, created in enumerate(times)
    ]
    for bundle in bundles:
        bundle.path.rename(tmp_path / bundle.path.name)
    assert find_newest(tmp_path).manifest == bundles[1].manifest
    assert find_newest(tmp_path / bundles[2].path.name).manifest == bundles[2].manifest


@pytest.mark.parametrize("mistake", ["nothing", "name", "store", "data"])
def test_wrong_use_is_reported_and_changes_nothing(
    mistake: str,
    tmp_path: Path,
    make_bundle: MakeBundle,
    data: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    new = make_bundle("new", name="other" if mistake == "name" else "tiny").path
    if mistake != "store":
        save(make_bundle("old", colours=2))
    cases = {
        "nothing": ("no bundle in", tmp_path / "nowhere", data),
        "name": ("can only replace a model of the same name", new, data),
        "store": ("no model 'tiny:latest'", new, data),
        "data": ("use --data to name the folder", new, tmp_path),
    }
    message, folder, pictures = cases[mistake]
    assert promote(folder, pictures) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert not printed.out
