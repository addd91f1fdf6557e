from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from trainers.check import main

Scene = Callable[..., Image.Image]


@pytest.fixture
def folder(tmp_path: Path, scene: Scene) -> Path:
    for number in range(24):
        path = tmp_path / "pictures" / ("cat" if number < 12 else "dog") / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        scene(number, (240, 240)).save(path)
    return tmp_path / "pictures"


def check(folder: Path, *options: object) -> int:
    return main(["--data", str(folder), "--quiet", *map(str, options)])


def test_a_clean_folder_has_no_findings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(folder, "--strict") == 0
    assert capsys.readouterr() == ("24 pictures of 2 classes: 0 findings\n", "")


def test_findings_are_printed_and_fatal_only_with_strict(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "cat/1.jpg").write_bytes((folder / "cat/1.jpg").read_bytes()[:900])
    assert check(folder) == 0
    printed = capsys.readouterr().out
    assert "warning: 1 file is damaged or cut short, and left out: copy it again" in printed
    assert "  truncated: cat/1.jpg\n" in printed
    assert printed.endswith("23 pictures of 2 classes: 1 finding\n")
    assert check(folder, "--strict") == 2


def test_an_invalid_regular_expression_is_an_error(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(folder, "--group", "(") == 2
    assert "graft: --group (='('): not a valid regular expression" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "escaped"), [("co\tw", r"co\x09w"), ("co\u202ew", r"co\u202ew")])
def test_a_class_without_readable_names_is_an_error(
    folder: Path, name: str, escaped: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder / "cat", folder / name)
    assert check(folder) == 2
    assert f"needs at least 2 readable pictures, but there are fewer in `{escaped}` (0)" in (
        capsys.readouterr().err
    )


def test_all_paths_go_into_the_file_and_into_json(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(5):
        shutil.copy(folder / "cat/7.jpg", folder / f"cat/copy{number}.jpg")
    assert check(folder, "--json", "--output", tmp_path / "findings.json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "findings.json").read_text()) == printed
    (finding,) = printed["findings"]
    assert finding["kind"] == "exact_duplicate"
    copies = [f"cat/copy{number}.jpg" for number in range(5)]
    assert finding["groups"] == [["cat/7.jpg", *copies]]


def test_pictures_smaller_than_the_image_size_are_a_finding(folder: Path) -> None:
    assert check(folder, "--strict", "--image-size", 600) == 2


def test_an_unusable_folder_is_refused_after_its_findings(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "owl").mkdir()
    (folder / "owl/1.jpg").write_text("no picture")
    assert check(folder) == 2
    captured = capsys.readouterr()
    assert "unreadable: owl/1.jpg" in captured.out
    assert "needs at least 2 readable pictures, but there are fewer in `owl` (0)" in captured.err


def test_skipped_files_are_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "cat/notes.txt").write_text("tabby")
    assert check(folder, "--strict") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("left out: cat/notes.txt: is text, not a picture\n")


def test_an_archive_is_checked_like_a_folder(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    assert check(Path(shutil.make_archive(str(tmp_path / "packed"), "zip", folder))) == 0
    assert capsys.readouterr().out == "24 pictures of 2 classes: 0 findings\n"


@pytest.mark.parametrize(
    ("label", "advice"),
    [
        ("Cat", "train/ has a similar class `cat` ('cat', not 'Cat'): rename one"),
        ("unknown", "or move the folder away if its pictures are not labelled"),
    ],
)
def test_test_classes_without_training_pictures_are_refused(
    folder: Path, label: str, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "train").mkdir()
    (folder / "cat").rename(folder / "train/cat")
    (folder / "dog").rename(folder / "train/dog")
    for number in (3, 4):
        (folder / "test" / label).mkdir(parents=True, exist_ok=True)
        (folder / f"train/cat/{number}.jpg").rename(folder / f"test/{label}/{number}.jpg")
    assert check(folder) == 2
    errors = capsys.readouterr().err
    assert f"class `{label}` of {folder} has no training pictures" in errors
    assert advice in errors


@pytest.mark.parametrize("option", [("--image-size", "-5"), ("--image-size", "x"), ("--data", "")])
def test_impossible_values_are_refused(
    folder: Path, option: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(folder, *option) == 2
    assert capsys.readouterr().err.startswith(f"graft: argument {option[0]}: ")


def test_a_missing_folder_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path / "nowhere") == 2
    assert "no folder" in capsys.readouterr().err


def test_tensorflow_is_not_needed(folder: Path) -> None:
    code = f"""
import sys
for name in ("tensorflow", "keras", "onnxruntime", "bentoml"):
    sys.modules[name] = None
from trainers.check import main
sys.exit(main(["--data", {str(folder)!r}]))
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
