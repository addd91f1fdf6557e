"""Understands the JSON files of labelling tools: which picture has which labels.

- a list of objects such as {"path": "1.jpg", "label": "cat"}, or {"1.jpg": "cat", ...}
- COCO: {"images": [...], "annotations": [...], "categories": [...]}
- Label Studio: [{"data": {"image": ...}, "annotations": [...]}, ...]
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

_TASK_KEYS = ("image", "img", "picture", "photo", "url")
"""The keys under which a task of Label Studio has its picture."""
LIST_SEPARATOR = "\x1f"
"""Joins the items of a list to the text of a cell: the unit separator of ASCII, which no label
contains."""
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
            yield {str(name): as_text(name, cell) for name, cell in value.items()}, ""


def _read_mapping(labels: Mapping[str, Any]) -> Iterator[tuple[Cells, str]]:
    for path, label in labels.items():
        if isinstance(label, Mapping):
            raise TypeError("a label is neither text nor a number")
        yield {"path": path, "label": as_text("label", label)}, ""


def _read_coco(values: Mapping[str, Any]) -> Iterator[tuple[Cells, str]]:
    for part in ("categories", "images"):
        numbers = [each["id"] for each in values[part]]
        if len(set(numbers)) < len(numbers):
            raise KeyError(f"an id is there twice in {part}")
    names = {category["id"]: as_text("name", category["name"]) for category in values["categories"]}
    labels_of: dict[Any, set[str]] = {}
    for annotation in values["annotations"] or ():
        name = names.get(annotation["category_id"], "")
        labels_of.setdefault(annotation["image_id"], set()).add(name)
    for image in values["images"]:
        labels = labels_of.get(image["id"], set()) - {""}
        yield {"path": str(image["file_name"]), "label": _join(labels)}, ""


def _read_task(task: Mapping[str, Any]) -> tuple[Cells, str]:
    """Read a task of Label Studio. Annotations that were cancelled do not count."""
    texts = {name: value for name, value in task["data"].items() if isinstance(value, str)}
    source = next((texts[name] for name in _TASK_KEYS if name in texts), "")
    labels = {
        str(choice).strip()
        for annotation in task.get("annotations") or ()
        if not annotation.get("was_cancelled")
        for result in annotation["result"]
        for choice in result.get("value", {}).get("choices", [])
    }
    problem = "" if source else "the task has no picture: none of " + ", ".join(_TASK_KEYS)
    return {"path": clean_path(source), "label": _join(labels)}, problem


def clean_path(path: str) -> str:
    """Return the path of the file that Label Studio means.

    It writes files of its storage as /data/local-files/?d=PATH, and puts eight digits before the
    names of uploaded files.
    """
    if "?d=" in path:
        return unquote(path.rpartition("?d=")[2])
    return re.sub(r"^(?:.*/)?upload/(?:\d+/)?[0-9a-f]{8}-", "", path)


def _join(labels: Iterable[str]) -> str:
    return LIST_SEPARATOR.join(sorted(labels))


def as_text(name: str, cell: Any) -> str:
    """Return the text of a cell; "" for null, NaN, objects, and lists of such things.

    Numbers keep their spelling: 1, not 1.0.
    """
    if isinstance(cell, list) and len(cell) == 1:
        cell = cell[0]
    if isinstance(cell, list) and all(isinstance(item, str | int) for item in cell):
        return _join({str(item).strip() for item in cell} - {""})
    if cell is None or cell != cell or isinstance(cell, list | Mapping):  # noqa: PLR0124 (NaN)
        return ""
    text = str(cell).strip()
    return clean_path(text) if name in _TASK_KEYS else text
