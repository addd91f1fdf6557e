from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.trainers.evaluating.conftest import Ask, AskLabels, Draw, MakeBundle
from trainers.evaluating.classifying import Answers
from trainers.evaluating.measuring import measure, measure_novelty


def test_the_figures_have_the_names_of_a_trainings_metrics(
    folder: Path, draw: Draw, make_bundle: MakeBundle, ask: Ask
) -> None:
    (folder / "red/0.jpg").write_bytes(draw("blue"))
    (folder / "red/1.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("no picture")
    (folder / "stray.jpg").write_bytes(draw("blue"))
    bundle = make_bundle({folder / "green/0.jpg": "validation"})
    figures = measure(ask(bundle), bundle, 0.9)
    json.dumps(figures, allow_nan=False)
    assert figures["test"]["n"] == 10
    assert figures["test"]["accuracy"] == 0.9
    assert figures["test"]["per_class"]["red"]["n"] == 3
    assert figures["test"]["mistakes"][0]["path"] == "red/0.jpg"
    assert figures["calibration"]["sets"]["confidence"] == 0.9
    assert figures["calibration"]["sets"]["coverage"] == 0.9
    assert sum(row["n"] for row in figures["calibration"]["bands"]) == 10
    assert figures["seen"] == 1
    (refused,) = figures["refused"]
    assert (refused["path"], refused["class"]) == ("red/1.jpg", "red")
    assert refused["code"] == "undecodable_image"
    assert [file["path"] for file in figures["left_out"]] == ["notes.txt", "stray.jpg"]
    assert [finding["kind"] for finding in figures["findings"]] == ["misplaced"]
    assert (figures["novelty"], figures["unknown_classes"]) == (None, {})
    assert figures["model"] == {"name": "tiny", "version": bundle.manifest.version}
    assert measure(ask(bundle), bundle, 0)["calibration"]["sets"] is None


def test_an_unknown_class_is_measured_by_what_the_model_answers(
    folder: Path, make_bundle: MakeBundle, ask: Ask, draw: Draw
) -> None:
    (folder / "green").rename(folder / "violet")
    (folder / "violet/0.jpg").write_bytes(draw("blue"))
    (folder / "violet/1.jpg").write_bytes(b"")
    bundle = make_bundle({})
    figures = measure(ask(bundle), bundle, 0.9)
    assert figures["test"]["n"] == 8
    violet = figures["unknown_classes"]["violet"]
    assert violet["n"] == 3
    assert violet["answers"] == {"green": 2, "blue": 1}
    assert violet["mean_score"] == pytest.approx(0.99, abs=0.02)
    assert violet["unknown_share"] is None


@pytest.fixture
def answers(folder: Path, ask: Ask) -> Answers:
    """Answers with a novelty of 0.1 to 0.8 for known classes, and more for an unknown one."""
    (folder / "green").rename(folder / "violet")
    answers = ask()
    novelty = np.linspace(0.1, 0.8, 12)
    novelty[answers.pictures.labels < 0] = [0.75, 0.95, 0.96, 0.99]
    return replace(answers, novelty=novelty)


def test_novelty_is_measured_on_known_and_unknown_classes(answers: Answers) -> None:
    known = answers.novelty[answers.pictures.labels >= 0]
    figures = measure_novelty(answers)
    assert figures is not None
    assert (figures["test"]["n"], figures["test"]["unknown"]) == (8, 0)
    unknown = figures["unknown_classes"]
    assert (unknown["n"], unknown["unknown"], unknown["unknown_share"]) == (4, 2, 0.5)
    assert unknown["unknown_interval"][0] < 0.5 < unknown["unknown_interval"][1]
    pairs = [(unknown > other) for unknown in (0.75, 0.95, 0.96, 0.99) for other in known]
    assert figures["auroc"] == pytest.approx(np.mean(pairs))
    assert 0 <= figures["probability_auroc"] <= 1


def test_a_novelty_of_exactly_the_threshold_is_known(answers: Answers) -> None:
    novelty = np.full(12, 0.95)
    figures = measure_novelty(replace(answers, novelty=novelty))
    assert figures is not None
    assert figures["unknown_classes"]["unknown"] == 0
    assert figures["auroc"] == 0.5


def test_without_unknown_classes_there_is_no_auroc(answers: Answers) -> None:
    labels = np.abs(answers.pictures.labels)
    figures = measure_novelty(replace(answers, pictures=replace(answers.pictures, labels=labels)))
    assert figures is not None
    assert figures["auroc"] is figures["probability_auroc"] is None
    assert figures["unknown_classes"]["unknown_share"] is None
    assert figures["test"]["n"] == 12


def test_pictures_without_an_answer_have_no_novelty(answers: Answers) -> None:
    novelty = answers.novelty.copy()
    novelty[0] = np.nan
    figures = measure_novelty(replace(answers, novelty=novelty))
    assert figures is not None
    assert figures["test"]["n"] + figures["unknown_classes"]["n"] == 11


LABELS = {
    **{f"red/{number}.jpg": "green|red" for number in range(4)},
    **{f"green/{number}.jpg": "green" for number in range(3)},
    **{"green/3.jpg": "", "blue/0.jpg": "blue", "blue/1.jpg": "blue|green|violet"},
}
"""The model gets 8 of these 10 pictures right: green/3.jpg and blue/0.jpg are not green."""


def test_labels_are_measured_as_after_a_training(folder: Path, ask_labels: AskLabels) -> None:
    (folder / "red/0.jpg").write_bytes(b"")
    bundle, answers = ask_labels(LABELS, {folder / "red/1.jpg": "validation"})
    figures = measure(answers, bundle, 0.9)
    json.dumps(figures, allow_nan=False)
    test = figures["test"]
    assert (test["n"], test["accuracy"]) == (8, 6 / 8)
    red, green, blue = test["per_class"].values()
    assert (red["f1"], red["n"], red["threshold"]) == (1, 2, 0.5)
    assert (blue["precision"], blue["recall"]) == (1, 1)
    assert (green["n"], green["answered"], green["precision"]) == (6, 8, 6 / 8)
    assert test["macro_f1"] == pytest.approx((1 + 1 + green["f1"]) / 3)
    assert test["cooccurrence"] == [[2, 2, 0], [2, 6, 1], [0, 1, 2]]
    assert [mistake["path"] for mistake in test["mistakes"]] == ["green/3.jpg", "blue/0.jpg"]
    sets = figures["calibration"]["sets"]
    assert sets["confidence"] == 0.9
    assert sets["coverage"] == 1
    assert measure(answers, bundle, 0)["calibration"]["sets"] is None
    assert figures["seen"] == 1
    assert figures["refused"][0]["class"] == "green|red"
    assert figures["unknown_classes"] == {}
