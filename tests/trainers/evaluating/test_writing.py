from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from service.bundle.reading import Bundle
from tests.trainers.evaluating.conftest import Ask, AskLabels
from trainers.evaluating import measuring, page, writing
from trainers.evaluating.classifying import Answers


@pytest.fixture
def answers(ask: Ask) -> Answers:
    return ask()


@pytest.fixture
def metrics(answers: Answers, tiny_bundle: Bundle) -> dict[str, Any]:
    return measuring.measure(answers, tiny_bundle, 0.9)


def write(folder: Path, bundle: Bundle, metrics: dict[str, Any], answers: Answers) -> Path:
    staging = folder / "work" / "evaluation"
    staging.mkdir(parents=True)
    (staging / "predictions.csv").write_text("path\n")
    return writing.write(staging, folder, bundle.manifest, metrics, answers)


def test_the_folder_is_complete(
    tmp_path: Path, tiny_bundle: Bundle, metrics: dict[str, Any], answers: Answers
) -> None:
    path = write(tmp_path, tiny_bundle, metrics, answers)
    assert re_name(path, tiny_bundle)
    assert {file.name for file in path.parent.iterdir()} == {
        *("report.html", "metrics.json", "predictions.csv"),
    }
    assert json.loads((path.parent / "metrics.json").read_text()) == json.loads(json.dumps(metrics))


def re_name(path: Path, bundle: Bundle) -> bool:
    prefix = f"evaluation-tiny-{bundle.manifest.version}-"
    return path.name == "report.html" and path.parent.name.startswith(prefix)


def test_the_same_evaluation_replaces_the_earlier_one(
    tmp_path: Path, tiny_bundle: Bundle, metrics: dict[str, Any], answers: Answers
) -> None:
    first = write(tmp_path, tiny_bundle, metrics, answers)
    (first.parent / "old.txt").write_text("old")
    (tmp_path / "work").rename(tmp_path / "first work")
    assert write(tmp_path, tiny_bundle, metrics, answers) == first
    assert not (first.parent / "old.txt").exists()


def test_nothing_appears_if_the_page_cannot_be_made(
    tmp_path: Path,
    tiny_bundle: Bundle,
    metrics: dict[str, Any],
    answers: Answers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> str:
        raise OSError("the disk is full")

    monkeypatch.setattr(page, "render", fail)
    with pytest.raises(OSError, match="the disk is full"):
        write(tmp_path / "out", tiny_bundle, metrics, answers)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["work"]


def test_the_log_says_what_was_measured(
    tiny_bundle: Bundle, metrics: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    novelty = {
        "test": {"n": 12, "unknown": 3},
        "unknown_classes": {"n": 1, "unknown": 1},
    }
    refused = [{"path": "a.jpg", "message": "it is cut short"}]
    with caplog.at_level(logging.INFO, "graft"):
        writing.log_figures(
            tiny_bundle.manifest, {**metrics, "novelty": novelty, "refused": refused}
        )
    accuracy, refusal, unknown = caplog.messages
    assert accuracy == (
        "accuracy 1.0000 on 12 pictures (95% confidence interval 0.758 to 1.000); at the end of "
        "the training: test accuracy 1.0000"
    )
    assert refusal == (
        "1 picture got no answer, and does not count; the first: a.jpg: it is cut short"
    )
    assert unknown == (
        "called unknown: 3 of 12 pictures of known classes, 1 of 1 picture of unknown classes"
    )


def test_the_record_has_the_headline(metrics: dict[str, Any]) -> None:
    record = writing.record(Path("page.html"), metrics)
    assert record["page"] == "page.html"
    assert record["model"].startswith("tiny:")
    assert (record["accuracy"], record["pictures"]) == (1, 12)
    assert (record["seen"], record["refused"], record["unknown"]) == (0, 0, 0)


def test_figures_of_labels_are_logged_and_recorded(
    ask_labels: AskLabels, caplog: pytest.LogCaptureFixture
) -> None:
    bundle, answers = ask_labels({"red/0.jpg": "red|green", "blue/0.jpg": "blue"})
    metrics = measuring.measure(answers, bundle, 0.9)
    with caplog.at_level(logging.INFO, "graft"):
        writing.log_figures(bundle.manifest, {**metrics, "novelty": None})
    assert caplog.messages[0].startswith(
        "macro F1 0.8889, micro F1 0.8571, mean average precision 1.0000, accuracy 0.5000 (all "
        "labels of a picture right) on 2 pictures (95% confidence interval"
    )
    record = writing.record(Path("page.html"), metrics)
    assert record["accuracy"] == 0.5
    assert record["macro_f1"] == pytest.approx(8 / 9)
