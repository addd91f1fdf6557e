from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from service.bundle import summary
from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from trainers.evaluation import replacement

Make = Callable[..., Bundle]
DATA = Path("my data")


@pytest.fixture
def make(tmp_path: Path, manifest: Manifest) -> Make:
    """A bundle as far as it is read here: make("a", wrong=["7"], test=20, fingerprint="f", ...)."""

    def make(
        version: str,
        wrong: Sequence[str] = (),
        test: int = 40,
        fingerprint: str = "f",
        source: str = summary.FOLDER,
        **more: Any,
    ) -> Bundle:
        path = tmp_path / version
        path.mkdir()
        with (path / "split.csv").open("w", newline="") as file:
            rows = [(str(number), "red", "test") for number in range(test)]
            csv.writer(file).writerows([("path", "class", "split"), *rows, ("x", "red", "train")])
        accuracy = 1 - len(wrong) / test
        mistakes = [{"path": one} for one in wrong]
        page = {"test": {"accuracy": accuracy, "mistakes": mistakes}}
        (path / "metrics.json").write_text(json.dumps(page))
        data = {"fingerprint": fingerprint, "source": source, "pictures": 9, "folder": "pets"}
        metrics = {"test_accuracy": accuracy, "test_pictures": test}
        update = {"id": version, "provenance": {"data": data}, "metrics": metrics, **more}
        return Bundle(path, manifest.model_copy(update=update))

    return make


def test_the_first_of_its_name_replaces_nothing(make: Make) -> None:
    new = make("new")
    said = list(replacement.describe(new, None, DATA))
    assert said == ["the model is `tiny:latest` in BentoML's store, and the first with that name"]
    assert not list(replacement.list_doubts(new, None))


def test_the_same_test_pictures_are_compared_in_pairs(make: Make) -> None:
    old, new = make("old", ["1", "2"]), make("new", ["2", "3", "4", "5"])
    first, compared, last = replacement.describe(new, old, DATA)
    assert "and replaces tiny:old, trained on 9 pictures of `pets`, test accuracy 0.9500" in first
    assert (
        "on the same 40 test pictures the accuracy of the new model is 0.9000, that of the"
        in compared
    )
    assert last == "the old model is still in the store: GRAFT_MODEL=tiny:old serves it"
    assert list(replacement.list_doubts(new, old)) == [
        "the model is less accurate than tiny:old; the difference may be chance"
    ]
    assert not list(replacement.list_doubts(old, new))


def test_a_clear_loss_is_no_chance(make: Make) -> None:
    old, new = make("old"), make("new", [str(number) for number in range(15)])
    assert "the model is less accurate than tiny:old" in list(replacement.list_doubts(new, old))


@pytest.mark.parametrize("other", [{"fingerprint": "g"}, {"test": 39}])
def test_other_test_pictures_do_not_compare_and_promote_is_named(
    make: Make, other: dict[str, Any]
) -> None:
    old, new = make("old", **other), make("new")
    assert replacement.compare_recorded(new, old) is None
    compared = list(replacement.describe(new, old, DATA))[1]
    assert compared.startswith("the two accuracies cannot be compared: they were measured on")
    assert compared.endswith(f"promote {new.path} --over tiny:old --data 'my data'")


def test_a_page_that_lists_some_mistakes_only_is_not_counted(make: Make) -> None:
    old, new = make("old", ["1", "2"]), make("new")
    page = {"test": {"accuracy": 0.5, "mistakes": [{"path": "1"}]}}
    (old.path / "metrics.json").write_text(json.dumps(page))
    assert replacement.compare_recorded(new, old) is None


def test_a_bundle_of_another_version_does_not_compare(make: Make) -> None:
    old, new = make("old"), make("new")
    for content in ("{}", '{"test": {"accuracy": null}}', "no json"):
        (old.path / "metrics.json").write_text(content)
        assert replacement.compare_recorded(new, old) is None
    (old.path / "split.csv").unlink()
    assert replacement.compare_recorded(new, old) is None


def test_other_classes_do_not_compare_at_all(make: Make) -> None:
    old, new = make("old", classes=("cat", "dog")), make("new")
    compared = list(replacement.describe(new, old, DATA))[1]
    assert compared == "the two models cannot be compared: their classes differ"


def test_drawn_pictures_in_the_place_of_real_ones_are_a_doubt(make: Make) -> None:
    old, new = make("old"), make("new", source=summary.DRAWN, fingerprint="g")
    said = list(replacement.list_doubts(new, old))
    assert said[-1] == "the model replaces tiny:old, which was not trained on drawn sample pictures"
    assert len(list(replacement.list_doubts(make("newer", source=summary.DRAWN), new))) == 1


def test_no_model_of_that_name_is_none() -> None:
    assert replacement.find_latest("never-trained") is None
