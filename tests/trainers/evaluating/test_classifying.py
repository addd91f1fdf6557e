from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from service.bundle.reading import Bundle
from service.engine.predictor import Predictor
from service.settings import Settings
from tests.trainers.evaluating.conftest import SETTINGS, Ask, Draw
from trainers.evaluating.classifying import NothingMeasuredError


def test_the_answers_are_those_of_the_service(folder: Path, ask: Ask, tiny_bundle: Bundle) -> None:
    answers = ask()
    predictor = Predictor(tiny_bundle)
    for row, path in enumerate(answers.pictures.paths):
        image = predictor.decode((folder / path).read_bytes())
        np.testing.assert_allclose(
            answers.probabilities[row], predictor.predict(image[None])[0], atol=1e-6
        )
    assert answers.refusals == {}
    assert np.isnan(answers.novelty).all()  # the tiny model cannot tell
    assert answers.known.accuracy == 1
    assert len(answers.known.rows) == 12


def test_what_the_service_refuses_has_no_answer(folder: Path, ask: Ask, draw: Draw) -> None:
    (folder / "red/0.jpg").write_bytes(draw("red", "BMP"))
    (folder / "red/1.jpg").write_bytes(draw("red", size=(64, 48))[:300])
    (folder / "red/2.jpg").write_bytes(b"")
    (folder / "red/3.jpg").write_bytes(draw("red", size=(900, 900)))
    answers = ask(settings=SETTINGS.model_copy(update={"max_pixels": 500_000}))
    codes = {answers.pictures.paths[row]: error.code for row, error in answers.refusals.items()}
    assert codes == {
        "red/0.jpg": "unsupported_media_type",
        "red/1.jpg": "undecodable_image",
        "red/2.jpg": "undecodable_image",
        "red/3.jpg": "too_large",
    }
    assert answers.is_answered.sum() == 8
    assert set(answers.known.labels) == {1, 2}


def test_pictures_of_unknown_classes_have_answers_that_do_not_count(folder: Path, ask: Ask) -> None:
    (folder / "green").rename(folder / "violet")
    answers = ask()
    assert answers.is_answered.all()
    assert len(answers.known.rows) == 8
    assert answers.known.accuracy == 1


def test_a_folder_of_refused_pictures_is_an_error(folder: Path, ask: Ask) -> None:
    settings = Settings(**{**SETTINGS.model_dump(), "max_image_bytes": 10})
    with pytest.raises(NothingMeasuredError, match=r"first one is blue/0\.jpg: the picture has"):
        ask(settings=settings)


def test_the_table_has_a_row_for_each_picture(tmp_path: Path, ask: Ask) -> None:
    ask()
    lines = (tmp_path / "predictions.csv").read_text().splitlines()
    assert len(lines) == 13
    assert json.loads(lines[1].split(",")[0]) == "blue/0.jpg"
