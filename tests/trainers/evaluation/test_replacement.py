from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from service.bundle import store, summary
from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from trainers.evaluation import replacement

MakeBundle = Callable[..., Bundle]
DATA = Path("my data")


@pytest.fixture
def make_bundle(tmp_path: Path, manifest: Manifest) -> MakeBundle:
    """Write the files that a comparison reads: make_bundle("a", wrong=["7"], test=20)."""

    def make_bundle(
        version: str,
        wrong: Sequence[str] = (),
        test: int = 40,
        fingerprint: str = "f",
        source: str = summary.FOLDER,
        **changes: Any,
    ) -> Bundle:
        path = tmp_path / version
        path.mkdir()
        with (path / "split.csv").open("w", newline="") as file:
            rows = [(str(number), "red", "test") for number in range(test)]
            csv.writer(file).writerows([("path", "class", "split"), *rows, ("x", "red", "train")])
        accuracy = 1 - len(wrong) / test
        mistakes = [{"path": name} for name in wrong]
        recorded = {"test": {"accuracy": accuracy, "mistakes": mistakes}}
        (path / "metrics.json").write_text(json.dumps(recorded))
        data = {"fingerprint": fingerprint, "source": source, "pictures": 9, "folder": "pets"}
        metrics = {"test_accuracy": accuracy, "test_pictures": test}
        update = {"id": version, "provenance": {"data": data}, "metrics": metrics, **changes}
        return Bundle(path, manifest.model_copy(update=update))

    return make_bundle


def test_the_first_model_of_a_name_replaces_nothing(make_bundle: MakeBundle) -> None:
    new = make_bundle("new")
    lines = list(replacement.describe(new, None, DATA))
    assert lines == ["the model is `tiny:latest` in BentoML's store, the first model of this name"]
    assert not list(replacement.list_doubts(new, None))


def test_the_same_test_pictures_are_compared_in_pairs(make_bundle: MakeBundle) -> None:
    old, new = make_bundle("old", ["1", "2"]), make_bundle("new", ["2", "3", "4", "5"])
    first_line, comparison, last_line = replacement.describe(new, old, DATA)
    assert (
        "and replaces tiny:old, made from 9 pictures of `pets`, test accuracy 0.9500" in first_line
    )
    assert comparison.startswith(
        "accuracy on the same test pictures (40): new model 0.9000, old model 0.9500; the"
    )
    assert last_line == "the old model is still in the store; to serve it, set GRAFT_MODEL=tiny:old"
    assert list(replacement.list_doubts(new, old)) == [
        "the new model is less accurate than tiny:old, but the difference may be due to chance"
    ]
    assert not list(replacement.list_doubts(old, new))


def test_a_clear_loss_is_not_called_chance(make_bundle: MakeBundle) -> None:
    old, new = make_bundle("old"), make_bundle("new", [str(number) for number in range(15)])
    assert "the new model is less accurate than tiny:old" in list(replacement.list_doubts(new, old))


@pytest.mark.parametrize("changes", [{"fingerprint": "g"}, {"test": 39}])
def test_different_test_pictures_are_not_compared_and_promote_is_advised(
    make_bundle: MakeBundle, changes: dict[str, Any]
) -> None:
    old, new = make_bundle("old", **changes), make_bundle("new")
    assert replacement.compare_recorded(new, old) is None
    compared = list(replacement.describe(new, old, DATA))[1]
    assert compared.startswith("the recorded accuracies of the two models cannot be compared: ")
    assert compared.endswith(f"promote {new.path} --over tiny:old --data 'my data'")


def test_an_incomplete_list_of_mistakes_is_not_compared(make_bundle: MakeBundle) -> None:
    old, new = make_bundle("old", ["1", "2"]), make_bundle("new")
    recorded = {"test": {"accuracy": 0.5, "mistakes": [{"path": "1"}]}}
    (old.path / "metrics.json").write_text(json.dumps(recorded))
    assert replacement.compare_recorded(new, old) is None


def test_bundles_with_unknown_metrics_are_not_compared(make_bundle: MakeBundle) -> None:
    old, new = make_bundle("old"), make_bundle("new")
    for content in ("{}", '{"test": {"accuracy": null}}', "no json"):
        (old.path / "metrics.json").write_text(content)
        assert replacement.compare_recorded(new, old) is None
    (old.path / "split.csv").unlink()
    assert replacement.compare_recorded(new, old) is None


def test_models_with_different_classes_are_not_compared(make_bundle: MakeBundle) -> None:
    old, new = make_bundle("old", classes=("cat", "dog")), make_bundle("new")
    compared = list(replacement.describe(new, old, DATA))[1]
    assert compared.endswith("two models cannot be compared, because their classes differ")


def test_drawn_pictures_replacing_real_ones_are_a_doubt(make_bundle: MakeBundle) -> None:
    old, new = make_bundle("old"), make_bundle("new", source=summary.DRAWN, fingerprint="g")
    lines = list(replacement.list_doubts(new, old))
    assert lines[-1].endswith("drawn sample pictures, but it replaces tiny:old, which was not")
    assert len(list(replacement.list_doubts(make_bundle("newer", source=summary.DRAWN), new))) == 1


@pytest.mark.usefixtures("empty_home")
def test_a_command_compares_the_new_model_with_the_champion(
    make_bundle: MakeBundle, tiny_bundle: Bundle
) -> None:
    champion = store.save(tiny_bundle, as_champion=True)
    new = make_bundle("new")
    *_, line = replacement.describe(new, make_bundle("old"), DATA)
    assert line.startswith(f"{champion} is still the champion; this command compares the new model")
    assert line.endswith(f"-m trainers.promote {new.path} --data 'my data'")
    *_, line = replacement.describe(tiny_bundle, make_bundle("older"), DATA)
    assert "champion" not in line


def test_find_latest_returns_none_for_an_unknown_name() -> None:
    assert replacement.find_latest("never-trained") is None


def test_models_of_two_tasks_are_not_compared(
    make_bundle: MakeBundle, multi_label_manifest: Manifest
) -> None:
    several = {"task": "multi-label", "decision": multi_label_manifest.decision}
    old, new = make_bundle("old", ["1"]), make_bundle("new", ["1", "2"], **several)
    lines = list(replacement.describe(new, old, DATA))
    assert "because their tasks differ" in lines[1]
    assert not any("trainers.promote" in line for line in lines)
    assert not list(replacement.list_doubts(new, old))


def test_multi_label_models_are_compared_by_pictures_with_wrong_labels(
    make_bundle: MakeBundle, multi_label_manifest: Manifest
) -> None:
    several = {"task": "multi-label", "decision": multi_label_manifest.decision}
    old = make_bundle("old", ["1", "2"], **several)
    new = make_bundle("new", ["1"], **several)
    assert "new model 0.9750, old model 0.9500" in list(replacement.describe(new, old, DATA))[1]
    other = make_bundle("other", ["1"], fingerprint="g", **several)
    lines = list(replacement.describe(other, old, DATA))
    assert "cannot be compared" in lines[1]
    assert not any("trainers.promote" in line for line in lines)
