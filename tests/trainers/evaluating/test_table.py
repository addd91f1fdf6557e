from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from service.bundle.reading import Bundle
from service.engine.classification import Classification
from service.engine.predictor import Predictor
from service.errors import UndecodableImage
from service.scoring.files import ScoredFile
from tests.trainers.evaluating.conftest import SETTINGS, ChooseLabels, MakeBundle
from trainers.dataset.folders.scan import PictureFile
from trainers.evaluating.table import COLUMNS, LABEL_COLUMNS, NAME, open_table


def read(folder: Path) -> list[dict[str, str]]:
    with (folder / NAME).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_row_has_the_true_class_and_the_answer(tmp_path: Path, make_bundle: MakeBundle) -> None:
    predictor = Predictor(make_bundle({}))
    probabilities = np.array([0.7, 0.2, 0.1], np.float32)
    classification = Classification(probabilities, np.ones(3, np.float32), 0.97)
    with open_table(tmp_path, predictor, SETTINGS) as write:
        write(
            PictureFile(Path("a"), 'green/a,"\r\n.jpg', "green", ""),
            ScoredFile("a", classification),
        )
        write(PictureFile(Path("b"), "violet/b.jpg", "violet", ""), ScoredFile("b", classification))
    green, violet = read(tmp_path)
    assert tuple(green) == COLUMNS
    assert green["path"] == 'green/a,"\r\n.jpg'
    assert (green["class"], green["label"], green["score"]) == ("green", "red", "0.7")
    assert (green["class_score"], green["known"], green["novelty"]) == ("0.2", "false", "0.97")
    assert json.loads(green["set"]) == ["red", "green", "blue"]
    assert green["error"] == ""
    assert (violet["class"], violet["class_score"]) == ("violet", "")


def test_a_row_without_an_answer_has_the_error(tmp_path: Path, tiny_bundle: Bundle) -> None:
    with open_table(tmp_path, Predictor(tiny_bundle), SETTINGS) as write:
        scored = ScoredFile("a", error=UndecodableImage("cut short"))
        write(PictureFile(Path("a"), "red/a.jpg", "red", ""), scored)
    (row,) = read(tmp_path)
    assert row["error"] == "undecodable_image: cut short"
    assert {row[name] for name in COLUMNS[2:-1]} == {""}


def test_a_row_has_all_labels(tmp_path: Path, choose_labels: ChooseLabels) -> None:
    bundle, chosen = choose_labels({"red/0.jpg": "red|green"})
    predictor = Predictor(bundle)
    classification = Classification(np.array([0.7, 0.6, 0.1], np.float32), np.ones(3, np.float32))
    with open_table(tmp_path, predictor, SETTINGS) as write:
        write(chosen.files[0], ScoredFile("a", classification))
    (row,) = read(tmp_path)
    assert tuple(row) == LABEL_COLUMNS
    assert (row["class"], row["label"], row["score"]) == ("green|red", "red", "0.7")
    assert row["labels"] == "green|red"
