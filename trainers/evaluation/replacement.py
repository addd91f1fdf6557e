"""What a new model takes the place of in the store, and which is better, as far as is known."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service.bundle import summary
from service.bundle.reading import Bundle
from service.cli import command_lines
from service.errors import GraftError
from trainers.promote import Comparison, compare


def latest(name: str) -> Bundle | None:
    """What `<name>:latest` means now; None where there is none, or none that can be read."""
    from service.bundle import store

    try:
        return Bundle.read(store.resolve(f"{name}:latest"))
    except GraftError:
        return None


def describe(new: Bundle, old: Bundle | None, data: Path) -> Iterator[str]:
    """Which model was the latest before, and how the two compare: lines for the log.

    Args:
        data: the folder that the new one was trained on, for the command that compares them.
    """
    name = new.manifest.name
    if old is None:
        yield f"it is `{name}:latest` in BentoML's store, the first of that name"
        return
    yield f"it is `{name}:latest` now, in place of {summary.describe(old.manifest)}"
    found = on_same_pictures(new, old)
    if set(new.manifest.classes) != set(old.manifest.classes):
        yield "the two do not compare: they tell other classes apart"
    elif found is None:
        options = (str(new.path), "--over", tag(old), "--data", str(data))
        yield (
            "the two accuracies do not compare: they are of different test pictures. This asks "
            f"both about the same: {command_lines.python_command('trainers.promote', *options)}"
        )
    else:
        yield (
            f"on the same {found.n} test pictures the new one is right on {found.new:.4f}, the old "
            f"one on {found.old:.4f}; difference {found.low:+.4f} to {found.high:+.4f} "
            "(95% interval)"
        )
    yield f"the one before is still there: GRAFT_MODEL={tag(old)} serves it"


def worries(new: Bundle, old: Bundle | None) -> Iterator[str]:
    """Why the new one should perhaps not be in its place: warnings for the log."""
    yield from summary.model_warnings(new.manifest)
    if old is None:
        return
    source, before = (summary.training_data(one.manifest)["source"] for one in (new, old))
    if source == summary.DRAWN and before != source:
        yield f"it is in place of a model that was not trained on {summary.DRAWN}: {tag(old)}"
    found = on_same_pictures(new, old)
    if found and found.new < found.old:
        sure = "" if found.high < 0 else ", which may be chance"
        yield f"it is right less often than {tag(old)}{sure}"


def on_same_pictures(new: Bundle, old: Bundle) -> Comparison | None:
    """The two on the test pictures of both; None where these differ, or are not all known."""
    try:
        return _paired(new, old)
    except (OSError, LookupError, TypeError, ValueError):
        return None  # a bundle of another version need not say all of it


def _paired(new: Bundle, old: Bundle) -> Comparison | None:
    metrics = [_json(one, "metrics.json") for one in (new, old)]
    paths = [_test_paths(one) for one in (new, old)]
    fingerprints = [_fingerprint(one) for one in (new, old)]
    if not paths[0] or paths[0] != paths[1] or fingerprints[0] != fingerprints[1]:
        return None
    wrong = [{one["path"] for one in page["test"]["mistakes"]} for page in metrics]
    for page, mistaken in zip(metrics, wrong, strict=True):
        if len(mistaken) != round(len(paths[0]) * (1 - page["test"]["accuracy"])):
            return None  # a page lists some mistakes only
    answers = [[path not in mistaken for path in sorted(paths[0])] for mistaken in wrong]
    return compare(*answers)


def tag(bundle: Bundle) -> str:
    return f"{bundle.manifest.name}:{bundle.manifest.version}"


def _json(bundle: Bundle, name: str) -> Any:
    return json.loads((bundle.path / name).read_text(encoding="utf-8"))


def _test_paths(bundle: Bundle) -> set[str]:
    with (bundle.path / "split.csv").open(newline="", encoding="utf-8") as file:
        return {row["path"] for row in csv.DictReader(file) if row["split"] == "test"}


def _fingerprint(bundle: Bundle) -> object:
    """Of all pictures, with their names and classes."""
    data = bundle.manifest.provenance.get("data")
    return data.get("fingerprint") if isinstance(data, dict) else None
