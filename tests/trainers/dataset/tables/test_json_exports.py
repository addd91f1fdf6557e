from __future__ import annotations

import pytest

from trainers.dataset.tables.json_exports import LIST_SEPARATOR, flatten

COCO = {
    "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "b.jpg"}],
    "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    "annotations": [
        {"image_id": 7, "category_id": 2, "bbox": [0, 0, 1, 1]},
        {"image_id": 7, "category_id": 2, "bbox": [2, 2, 1, 1]},
    ],
}


TWICE = {**COCO, "categories": [{"id": 1, "name": "cat"}, {"id": 1, "name": "dog"}]}


def choose(*labels: str, cancelled: bool = False) -> dict[str, object]:
    return {"was_cancelled": cancelled, "result": [{"value": {"choices": list(labels)}}]}


def test_coco_gives_each_picture_its_category() -> None:
    assert list(flatten(COCO)) == [
        ({"path": "a.jpg", "label": "dog"}, ""),
        ({"path": "b.jpg", "label": ""}, ""),
    ]


def test_label_studio_gives_each_picture_its_choice() -> None:
    tasks = [
        {"data": {"image": "/data/local-files/?d=my%20pictures/a.jpg"}, "annotations": []},
        {
            "data": {"id": 5, "reference": "c.jpg", "image": "/data/upload/1/0a1b2c3d-b.jpg"},
            "annotations": [choose("dog", cancelled=True), choose("cat")],
        },
    ]
    assert list(flatten(tasks)) == [
        ({"path": "my pictures/a.jpg", "label": ""}, ""),
        ({"path": "b.jpg", "label": "cat"}, ""),
    ]


def test_objects_and_mappings_keep_their_text() -> None:
    row = {"file": "a.jpg", "class": 3, "tag": None, "choice": ["x "], "bbox": [1.5, 2]}
    assert list(flatten([row, {"label": float("nan")}])) == [
        ({"file": "a.jpg", "class": "3", "tag": "", "choice": "x", "bbox": ""}, ""),
        ({"label": ""}, ""),
    ]
    assert list(flatten({"a.jpg": None})) == [({"path": "a.jpg", "label": ""}, "")]
    assert list(flatten({"a.jpg": "cat"})) == [({"path": "a.jpg", "label": "cat"}, "")]


def test_several_labels_of_one_picture_are_joined() -> None:
    annotations = [{"image_id": 7, "category_id": number} for number in (1, 2)]
    ((cells, _), _) = flatten({**COCO, "annotations": annotations})
    assert cells["label"].split(LIST_SEPARATOR) == ["cat", "dog"]
    ((cells, _),) = flatten([{"data": {"image": "a"}, "annotations": [choose("y", "x")]}])
    assert cells["label"].split(LIST_SEPARATOR) == ["x", "y"]
    ((cells, _),) = flatten({"a.jpg": ["dog", "cat", 3, "cat"]})
    assert cells["label"].split(LIST_SEPARATOR) == ["3", "cat", "dog"]


@pytest.mark.parametrize("values", [[1], {"a.jpg": {"name": "cat"}}, 5, TWICE])
def test_other_json_is_refused(values: object) -> None:
    with pytest.raises((AttributeError, KeyError, TypeError)):
        list(flatten(values))
