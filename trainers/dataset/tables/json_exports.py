"""Understands the JSON files of labelling tools: which picture has which label.

- a list of objects such as {"path": "1.jpg", "label": "cat"}, or {"1.jpg": "cat", ...}
- COCO: {"images": [...], "annotations": [...], "categories": [...]}
- Label Studio: [{"data": {"image": ...}, "annotations": [...]}, ...]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

Cells = dict[str, str]
"""The text of each cell, by the name of its column."""


def flatten(values: Any) -> Iterator[tuple[Cells, str]]:
    """Yield the cells of each picture, and what is wrong with it ("" if nothing is).

    Raises:
        AttributeError, KeyError, TypeError: the JSON has another structure.
    """
    if isinstance(values, Mapping):
        is_coco = {"images", "annotations", "categories"} <= values.keys()
        yield from _read_coco(values) if is_coco else _read_mapping(values)
        return
    for value in values:
        if isinstance(value.get("data"), Mapping):
            yield _read_task(value)
        else:
            yield {str(name): _as_text(cell) for name, cell in value.items()}, ""


def _read_mapping(labels: Mapping[str, Any]) -> Iterator[tuple[Cells, str]]:
    for path, label in labels.items():
        if not isinstance(label, str | int):
            raise TypeError("a label is neither text nor a number")
        yield {"path": path, "label": str(label)}, ""


def _read_coco(values: Mapping[str, Any]) -> Iterator[tuple[Cells, str]]:
    names = {category["id"]: str(category["name"]) for category in values["categories"]}
    labels: dict[Any, set[str]] = {}
    for annotation in values["annotations"]:
        labels.setdefault(annotation["image_id"], set()).add(names[annotation["category_id"]])
    for image in values["images"]:
        own = labels.get(image["id"], set())
        yield {"path": str(image["file_name"]), "label": min(own, default="")}, _refuse_several(own)


def _read_task(task: Mapping[str, Any]) -> tuple[Cells, str]:
    """Read a task of Label Studio. Annotations that were cancelled do not count."""
    source = next(str(value) for value in task["data"].values())
    path = unquote(source.rpartition("?d=")[2])  # local files are /data/local-files/?d=PATH
    own = {
        choice
        for annotation in task.get("annotations", [])
        if not annotation.get("was_cancelled")
        for result in annotation["result"]
        for choice in result["value"].get("choices", [])
    }
    return {"path": path, "label": min(own, default="")}, _refuse_several(own)


def _refuse_several(labels: set[str]) -> str:
    if len(labels) < 2:
        return ""
    names = ", ".join(f"`{label}`" for label in sorted(labels))
    return f"the picture has several labels ({names}), but Graft trains with one label per picture"


def _as_text(cell: Any) -> str:
    """Return the text of a cell; "" for null. Numbers keep their spelling: 1, not 1.0."""
    if isinstance(cell, list) and len(cell) == 1:
        cell = cell[0]
    if isinstance(cell, list | Mapping):
        raise TypeError("a cell is neither text nor a number")
    return "" if cell is None else str(cell).strip()
