from __future__ import annotations

from service.errors import MissingField, Overloaded
from service.schemas import Answer, BatchAnswer, Classified, ModelName, Refusal

RANKING = [("red", 0.75), ("blue", 0.25)]


def test_best_class_is_the_answer() -> None:
    assert Classified.of(RANKING).model_dump() == {
        "label": "red",
        "score": 0.75,
        "top": [{"label": "red", "score": 0.75}, {"label": "blue", "score": 0.25}],
    }


def test_answer_names_its_model() -> None:
    answer = Answer(**dict(Classified.of(RANKING)), model=ModelName(name="tiny", version="v"))
    assert answer.model_dump()["model"] == {"name": "tiny", "version": "v"}


def test_refusal_carries_code_and_message() -> None:
    assert Refusal.of(Overloaded("later")).model_dump() == {
        "error": {"code": "overloaded", "message": "later"}
    }


def test_clients_parse_mixed_results_back() -> None:
    results = [Classified.of(RANKING), Refusal.of(MissingField("none"))]
    batch = BatchAnswer(results=results, model=ModelName(name="tiny", version="v"))
    assert BatchAnswer.model_validate_json(batch.model_dump_json()) == batch
