from __future__ import annotations

from typing import Any

import numpy as np

from trainers.reporting import tables


def metrics(**per_class: dict[str, Any]) -> dict[str, Any]:
    train = {label: {"n": 5 + index, "weight": 1.5} for index, label in enumerate(per_class)}
    return {"test": {"n": 10, "per_class": per_class}, "train": {"per_class": train}}


def test_the_class_with_the_most_test_pictures() -> None:
    test = metrics(cat={"n": 2}, dog={"n": 8})["test"]
    assert tables.majority_class(test) == ("dog", 0.8)
    assert tables.majority_class({**test, "n": 0}) is None


def test_the_weakest_classes_come_first() -> None:
    rows = tables.per_class(metrics(cat={"n": 2, "f1": 0.9}, dog={"n": 8, "f1": 0.5}))
    assert [(row["label"], row["train"]) for row in rows] == [("dog", 6), ("cat", 5)]


def test_the_smallest_classes_show_the_effect_of_weights_first() -> None:
    content = metrics(cat={}, dog={})
    content["train"]["per_class"]["dog"]["n"] = 1
    effect = {"n": 4, "with_weights": 0.75, "without_weights": 0.5}
    rows = tables.weight_effect({**content, "balance": {"cat": effect, "dog": effect}})
    assert [row["label"] for row in rows] == ["dog", "cat"]
    assert tables.weight_effect({**content, "balance": None}) == []


def test_of_many_classes_the_matrix_has_the_most_confused() -> None:
    matrix = np.eye(40, dtype=int)
    matrix[7, 3] = matrix[7, 39] = 2
    classes = [f"c{number:02}" for number in range(40)]
    table = tables.confusion_matrix({"confusion_matrix": matrix.tolist()}, classes)
    assert table["is_part"]
    assert len(table["labels"]) == len(table["rows"]) == len(table["rows"][0]) == 20
    assert {"c03", "c07", "c39"} <= set(table["labels"])
    assert table["sums"][table["labels"].index("c07")] == 5
    assert sum(table["others"]) == 0


def test_nested_names_become_rows() -> None:
    content = {"data": {"source_kind": "folder", "n": None}, "seed": 0}
    assert list(tables.flatten(content)) == [("data source kind", "folder"), ("seed", 0)]
