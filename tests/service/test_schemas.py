from __future__ import annotations

from service.engine.classification import Verdict
from service.errors import MissingField, Overloaded
from service.schemas import (
    Answer,
    BatchAnswer,
    Classified,
    ErrorResponse,
    ModelName,
    classified_json,
)

ANSWER = {
    "label": "red",
    "score": 0.75,
    "known": True,
    "novelty": 0.5,
    "top": [{"label": "red", "score": 0.75}, {"label": "blue", "score": 0.25}],
    "set": ["red"],
}
MODEL = {"name": "tiny", "version": "v"}


def test_best_class_is_the_answer() -> None:
    ranking = [("red", 0.75), ("blue", 0.25)]
    assert classified_json(Verdict(ranking, ["red"], novelty=0.5)) == ANSWER
    without = {key: ANSWER[key] for key in ("label", "score", "top")}
    assert classified_json(Verdict(ranking)) == without
    assert Classified.model_validate(ANSWER, strict=True).model_dump(exclude_none=True) == ANSWER


def test_answer_is_a_classification_with_its_model() -> None:
    answer = Answer.model_validate({**ANSWER, "model": MODEL}, strict=True)
    assert answer.model_dump() == {**ANSWER, "model": MODEL, "labels": None}


def test_a_multi_label_answer_has_all_labels() -> None:
    ranking = [("red", 0.75), ("blue", 0.6)]
    content = classified_json(Verdict(ranking, labels=ranking))
    assert content["labels"] == content["top"]
    assert Classified.model_validate(content, strict=True).labels
    assert classified_json(Verdict(ranking, labels=[]))["labels"] == []


def test_error_has_code_and_message() -> None:
    assert ErrorResponse.from_error(Overloaded("later")).model_dump() == {
        "error": {"code": "overloaded", "message": "later"}
    }


def test_mixed_results_can_be_parsed() -> None:
    results = [Classified.model_validate(ANSWER), ErrorResponse.from_error(MissingField("none"))]
    batch = BatchAnswer(results=results, model=ModelName(**MODEL))
    assert BatchAnswer.model_validate_json(batch.model_dump_json()) == batch
