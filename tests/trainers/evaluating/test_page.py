from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from service.bundle.reading import Bundle
from tests.trainers.evaluating.conftest import Ask, AskLabels, Draw, MakeBundle
from tests.trainers.reporting.test_report import StrictParser, page_text
from trainers.evaluating.measuring import measure
from trainers.evaluating.page import render


def make_page(bundle: Bundle, ask: Ask) -> str:
    answers = ask(bundle)
    return render(bundle.manifest, measure(answers, bundle, 0.9), answers)


def test_the_page_has_the_sections_of_a_report_that_need_no_training(
    folder: Path, draw: Draw, make_bundle: MakeBundle, ask: Ask
) -> None:
    (folder / "red/0.jpg").write_bytes(draw("blue"))
    html = make_page(make_bundle({folder / "green/0.jpg": "train"}), ask)
    text = page_text(html)
    names = re.findall(r'<section aria-labelledby="(\w+)">', html)
    assert names == ["pairs", "mistakes", "scores", "classes", "right", "matrix", "pictures"]
    assert "90.9% test accuracy: this share of the 11 test pictures" in text
    assert "1 of 12 pictures are those that the model was trained or validated on" in text
    assert "1 of 4 red pictures was classified as blue" in text
    assert 'alt="red/0.jpg: shows red, classified as blue"' in html
    assert "test accuracy at the end of the training 100.0%" in text
    assert "training pictures" not in text
    assert "temperature" not in text


def test_unknown_classes_and_refused_pictures_are_listed(
    folder: Path, make_bundle: MakeBundle, ask: Ask
) -> None:
    (folder / "green").rename(folder / "<b>violet")
    (folder / "red/0.jpg").write_bytes(b"")
    html = make_page(make_bundle({}), ask)
    text = page_text(html)
    assert "This model cannot tell whether a picture is unlike" in text
    assert "&lt;b&gt;violet 4 – " in text
    assert "green (4)" in text
    assert "pictures without an answer 1" in text
    assert "red/0.jpg: the picture is empty" in text
    assert "green – – – 0" in text  # no figures without pictures
    parser = StrictParser()
    parser.feed(html)
    assert (parser.problems, parser.open_tags) == ([], [])


def test_a_folder_without_surprises_says_so(
    folder: Path, make_bundle: MakeBundle, ask: Ask
) -> None:
    text = page_text(make_page(make_bundle({folder / "red/0.jpg": "test"}), ask))
    assert "The model was not trained or validated on any of these files." in text
    assert "All test pictures are classified correctly" in text
    shutil.rmtree(folder / "red")
    assert "no picture to measure them on: red ." in page_text(make_page(make_bundle({}), ask))


def test_the_novelty_of_unknown_classes_is_explained(
    folder: Path, make_bundle: MakeBundle, ask: Ask
) -> None:
    (folder / "green").rename(folder / "violet")
    bundle = make_bundle({})
    answers = ask(bundle)
    novelty = np.where(answers.pictures.labels < 0, 0.99, 0.2)
    answers = replace(answers, novelty=novelty)
    text = page_text(render(bundle.manifest, measure(answers, bundle, 0.9), answers))
    assert "calls 0.0% of the 8 pictures of its own classes unknown, and 100.0% of the 4" in text
    assert "has the higher novelty in 100.0% of all cases" in text
    assert "violet 4 100.0%" in text


def test_the_page_of_labels_has_the_sections_of_their_report(ask_labels: AskLabels) -> None:
    bundle, answers = ask_labels({"red/0.jpg": "red|green", "green/0.jpg": "", "blue/0.jpg": "red"})
    answers = replace(answers, novelty=np.full(3, 0.99))
    html = render(bundle.manifest, measure(answers, bundle, 0.9), answers)
    text = page_text(html)
    names = re.findall(r'<section aria-labelledby="(\w+)">', html)
    assert names == ["labels", "mistakes", "together", "scores", "unknown", "pictures"]
    assert "macro F1: the mean F1 score of the labels, measured on the 3 test pictures" in text
    assert "The model was not trained or validated on any" not in text  # there is no record
    assert "macro F1 of the test at the end of the training –" in text
    assert "calls 100.0% of the 3 pictures unknown" in text
    assert "predictions.csv has the answer to every picture" in text
    assert "training pictures" not in text
    assert "temperature" not in text
    parser = StrictParser()
    parser.feed(html)
    assert (parser.problems, parser.open_tags) == ([], [])
