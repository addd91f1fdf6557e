"""Which model a new one replaces in the store, and which of the two is better, as far as is known.

Everything is read from the two bundles; no picture is classified.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service.bundle import store, summary
from service.bundle.reading import Bundle
from service.cli import command_lines
from service.errors import GraftError
from trainers.evaluation.paired import PairedComparison, compare_answers
from trainers.evaluation.promotion import read_split, tag


def find_latest(name: str) -> Bundle | None:
    """The bundle that `NAME:latest` means now; None if there is none that can be read."""
    try:
        return Bundle.read(store.resolve(f"{name}:latest"))
    except GraftError:
        return None


def describe(new: Bundle, old: Bundle | None, data: Path) -> Iterator[str]:
    """Lines for the log: which model was the latest before, and how the two compare.

    Args:
        data: the folder that the new model was trained on, for the command that compares them.
    """
    name = new.manifest.name
    if old is None:
        yield f"it is `{name}:latest` in BentoML's store, the first model of that name"
        return
    yield f"it is `{name}:latest` now and replaces {summary.describe(old.manifest)}"
    result = compare_recorded(new, old)
    if set(new.manifest.classes) != set(old.manifest.classes):
        yield "the two models cannot be compared: their classes differ"
    elif result is None:
        options = (str(new.path), "--over", tag(old), "--data", str(data))
        yield (
            "the two accuracies cannot be compared: they were measured on different test pictures. "
            "This command tests both models on the same pictures: "
            f"{command_lines.python_command('trainers.promote', *options)}"
        )
    else:
        yield (
            f"on the same {result.n} test pictures the accuracy of the new model is "
            f"{result.new:.4f}, of the old one {result.old:.4f}; difference {result.low:+.4f} to "
            f"{result.high:+.4f} (95% interval)"
        )
    yield f"the model before is still in the store: GRAFT_MODEL={tag(old)} serves it"


def list_doubts(new: Bundle, old: Bundle | None) -> Iterator[str]:
    """Warnings for the log: why the new model should perhaps not replace the old one."""
    yield from summary.model_warnings(new.manifest)
    if old is None:
        return
    new_source, old_source = (
        summary.training_data(bundle.manifest)["source"] for bundle in (new, old)
    )
    if new_source == summary.DRAWN and old_source != summary.DRAWN:
        yield f"it replaces {tag(old)}, which was not trained on {summary.DRAWN}"
    result = compare_recorded(new, old)
    if result and result.new < result.old:
        reservation = "" if result.high < 0 else "; this may be chance"
        yield f"it is right less often than {tag(old)}{reservation}"


def compare_recorded(new: Bundle, old: Bundle) -> PairedComparison | None:
    """Compare the recorded answers to the test pictures; None if these differ or are incomplete."""
    try:
        return _compare(new, old)
    except (OSError, LookupError, TypeError, ValueError):
        return None  # a bundle of another version need not record all of it


def _compare(new: Bundle, old: Bundle) -> PairedComparison | None:
    paths = _test_paths(new)
    if not paths or paths != _test_paths(old) or _fingerprint(new) != _fingerprint(old):
        return None
    answers = []
    for bundle in (new, old):
        test = json.loads((bundle.path / "metrics.json").read_text(encoding="utf-8"))["test"]
        mistakes = {mistake["path"] for mistake in test["mistakes"]}
        if len(mistakes) != round(len(paths) * (1 - test["accuracy"])):
            return None  # metrics.json lists only the first mistakes of a large test
        answers.append([path not in mistakes for path in sorted(paths)])
    return compare_answers(*answers)


def _test_paths(bundle: Bundle) -> set[str]:
    return {row.path for row in read_split(bundle) if row.split == "test"}


def _fingerprint(bundle: Bundle) -> Any:
    """The hash of all pictures with their names and classes; None if it was not recorded."""
    data = bundle.manifest.provenance.get("data")
    return data.get("fingerprint") if isinstance(data, dict) else None
