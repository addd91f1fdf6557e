from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pytest

from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from trainers.dataset.folders.errors import DataError
from trainers.progress import Progress
from trainers.promoting.comparison import MAX_CLASSES_SHOWN, Comparison, compare, shorten
from trainers.promoting.side_by_side import Answers, SideBySide
from trainers.promoting.unseen_pictures import UnseenPictures

MakeBundle = Callable[..., Bundle]
CLASSES = ("red", "green", "blue")


@pytest.fixture
def make_comparison(manifest: Manifest) -> Callable[..., Comparison]:
    """Compare two models on 20 pictures of each class: make_comparison(new_wrong={"red": 8})."""

    def answers(wrong: dict[str, int], latency_ms: float) -> Answers:
        hits = [number >= wrong.get(label, 0) for label in CLASSES for number in range(20)]
        scores = np.full(len(hits), 0.9, np.float32)
        return Answers(np.array(hits), scores, scores, latency_ms)

    def bundle(version: str, classes: Collection[str] = CLASSES) -> Bundle:
        update = {"id": version, "classes": tuple(classes)}
        return Bundle(Path(version), manifest.model_copy(update=update))

    def make_comparison(
        new_wrong: dict[str, int] | None = None,
        old_wrong: dict[str, int] | None = None,
        classes: Collection[str] = CLASSES,
        left_out: dict[str, int] | None = None,
        unusable: dict[str, list[str]] | None = None,
    ) -> Comparison:
        labels = [label for label in CLASSES for _ in range(20)]
        new, old = answers(new_wrong or {}, 4.04), answers(old_wrong or {}, 3.96)
        return Comparison(
            bundle("new", classes),
            bundle("old"),
            UnseenPictures([], left_out or {}),
            SideBySide(labels, new, old, unusable or {}),
        )

    return make_comparison


def test_four_lines_say_how_the_models_compare(make_comparison: Callable[..., Comparison]) -> None:
    comparison = make_comparison(new_wrong={"red": 9, "blue": 1}, old_wrong={"green": 8})
    accuracy, classes, calibration, speed = comparison.lines()
    assert accuracy.startswith(
        "accuracy on 60 pictures that neither model has learned from: new model tiny:new 0.8333, "
        "old model tiny:old 0.8667; difference -0.0333 (95% confidence interval -0.1"
    )
    assert accuracy.endswith("; 8 gained, 10 lost, McNemar's exact p = 0.81): not distinguishable")
    assert classes == (
        "classes: clearly lose: red (11 instead of 20 of 20 right); "
        "clearly gain: green (20 instead of 12 of 20 right)"
    )
    assert calibration.startswith("calibration error: new 0.067, old 0.033 (by chance alone 0.0")
    assert calibration.endswith("log loss: new 0.105, old 0.105")
    assert speed.startswith(
        "latency for one picture on this machine (one thread, median): new 4.0 ms, old 4.0 ms; size"
    )
    assert not list(comparison.caveats())


def test_small_changes_of_classes_are_not_shown(make_comparison: Callable[..., Comparison]) -> None:
    comparison = make_comparison(new_wrong={"red": 3}, old_wrong={"green": 4})
    assert list(comparison.lines())[1] == "classes: none clearly gains or loses"
    assert comparison.clear_losses == []


def test_what_was_not_compared_is_a_caveat(make_comparison: Callable[..., Comparison]) -> None:
    comparison = make_comparison(
        classes=("red", "green", "teal", "pink"),
        left_out={"teal": 3, "pink": 1},
        unusable={"are missing": ["a.jpg", "b.jpg"], "have changed": ["c.jpg"]},
    )
    assert list(comparison.caveats()) == [
        "pictures left out of 0: 2 are missing, e.g. a.jpg; 1 have changed, e.g. c.jpg",
        "only tiny:new has class pink, teal, so its pictures (4) are not compared",
        "only tiny:old has class blue, so its pictures (0) are not compared",
    ]


def test_the_json_has_all_figures(make_comparison: Callable[..., Comparison]) -> None:
    comparison = make_comparison(new_wrong={"red": 9}, unusable={"are missing": ["a.jpg"]})
    figures = json.loads(json.dumps(comparison.to_dict()))
    assert figures["verdict"] == "worse"
    assert (figures["pictures"], figures["gained"], figures["lost"]) == (60, 0, 9)
    assert figures["interval"][0] < figures["difference"] < figures["interval"][1] < 0
    assert figures["p_value"] == pytest.approx(2 / 2**9)
    assert figures["new"]["accuracy"] == pytest.approx(51 / 60)
    assert figures["old"]["latency_ms"] == 3.96
    assert figures["new"].keys() == figures["old"].keys()
    red = next(change for change in figures["classes"] if change["label"] == "red")
    assert (red["n"], red["new"], red["old"]) == (20, 11, 20)
    assert red["p_loss"] == pytest.approx(3 / 2**9)
    assert figures["left_out_pictures"] == {"are missing": ["a.jpg"]}


def test_many_names_are_shortened() -> None:
    names = [str(number) for number in range(MAX_CLASSES_SHOWN + 2)]
    assert shorten(names) == "0, 1, 2, 3, 4 and 2 more"
    assert shorten(names[:2]) == "0, 1"


def test_two_bundles_are_compared(make_model: MakeBundle, pictures: Path) -> None:
    new, old = make_model("new"), make_model("old", test=(3, 4), blind=["blue"], size=16)
    comparison = compare(new, old, pictures, Progress(is_quiet=True))
    assert comparison.overall.n == 3  # only the pictures 3 are new to both
    assert (comparison.overall.gained, comparison.overall.lost) == (1, 0)


def test_a_missing_folder_is_an_error(make_model: MakeBundle, tmp_path: Path) -> None:
    new, old = make_model("new"), make_model("old", blind=["blue"])
    with pytest.raises(DataError, match=r"there is no folder .*set --data to a folder, an archive"):
        compare(new, old, tmp_path / "nowhere", Progress(is_quiet=True))
