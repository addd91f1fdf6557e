from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import bentoml
import pytest

from service.bundle import store
from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.errors import GraftError
from trainers.exporting.registration import register, save
from trainers.progress import log

TEST = {
    "n": 3,
    "accuracy": 2 / 3,
    "accuracy_interval": (0.2, 0.9),
    "most_confused": [{"advice": f"pair {number}", "mistakes": 9 - number} for number in range(5)],
}


METRICS = {"test": TEST, "validation": {"accuracy": 0.5}}


@pytest.fixture
def log_capture(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    log.addHandler(caplog.handler)
    level = log.level
    log.setLevel(logging.INFO)
    yield caplog
    log.setLevel(level)
    log.removeHandler(caplog.handler)


def test_a_bundle_becomes_the_latest_and_the_log_shows_its_accuracy(
    tiny_bundle: Bundle, log_capture: pytest.LogCaptureFixture
) -> None:
    result = register(tiny_bundle, METRICS, Path("pictures"))
    tag = f"tiny:{tiny_bundle.manifest.version}"
    assert bentoml.models.get("tiny:latest").tag == bentoml.Tag.from_str(tag)
    names = {"bundle", "report", "model", "test_accuracy", "test_accuracy_interval", "data"}
    assert set(result) == {*names, "validation_accuracy", "replaces"}
    assert result["report"] == f"{tiny_bundle.path}/report.html"
    assert (result["test_accuracy_interval"], result["validation_accuracy"]) == ((0.2, 0.9), 0.5)
    assert (result["bundle"], result["model"]) == (str(tiny_bundle.path), tag)
    assert result["test_accuracy"] == 2 / 3
    text = "\n".join(log_capture.messages)
    assert "test accuracy 0.6667 on 3 pictures (95% confidence interval 0.200 to 0.900)" in text
    assert "pair 2" in text
    assert "pair 3" not in text  # the report shows more
    log_capture.clear()
    few = {**METRICS, "test": {**TEST, "most_confused": [{"advice": "by chance", "mistakes": 2}]}}
    register(tiny_bundle, few, Path("pictures"))
    assert "by chance" not in log_capture.text
    assert f"report: {tiny_bundle.path}/report.html" in text
    assert register(tiny_bundle, METRICS, Path("pictures"))["replaces"] == tag


def test_cross_validation_is_logged_and_printed(
    tiny_bundle: Bundle, log_capture: pytest.LogCaptureFixture
) -> None:
    figures = {
        **{"k": 5, "n": 50, "accuracy": 0.9, "accuracy_std": 0.02},
        "accuracy_interval": (0.8, 0.95),
    }
    folds = {**figures, "folds": [{"accuracy": 0.9}] * 5}
    result = register(tiny_bundle, {**METRICS, "folds": folds}, Path("pictures"))
    assert result["folds"] == figures
    assert (
        "cross-validated test accuracy 0.9000, standard deviation 0.0200, in 5 folds of 50 pictures"
        in "\n".join(log_capture.messages)
    )
    assert "use --folds 5 or 10" not in log_capture.text
    register(tiny_bundle, {**METRICS, "folds": {**folds, "k": 3}}, Path("pictures"))
    assert "with so few folds the interval is wide: use --folds 5 or 10" in log_capture.text


def test_a_store_that_cannot_be_written_does_not_lose_the_bundle(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(bundle: Bundle) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "save", fail)
    with pytest.raises(GraftError, match=f"GRAFT_MODEL={tiny_bundle.path}"):
        save(tiny_bundle)


def test_a_multi_label_model_has_figures_of_its_labels(
    staging: Path, multi_label_manifest: Manifest, log_capture: pytest.LogCaptureFixture
) -> None:
    figures = {"macro_f1": 0.9, "micro_f1": 0.8, "mean_average_precision": 0.95}
    headline = {f"test_{name}": value for name, value in figures.items()} | {"test_accuracy": 0.7}
    manifest = multi_label_manifest.model_copy(update={"metrics": headline})
    test = {**TEST, **figures, "accuracy": 0.7}
    del test["most_confused"]
    metrics = {"test": test, "validation": {"accuracy": 0.5}}
    result = register(seal(staging, manifest, staging.parent), metrics, Path("pictures"))
    assert (result["test_macro_f1"], result["test_accuracy"]) == (0.9, 0.7)
    text = "\n".join(log_capture.messages)
    assert "test figures: macro F1 0.9000, mean average precision 0.9500" in text
    assert "test accuracy 0.7000 (all labels of a picture right) on 3 pictures" in text
