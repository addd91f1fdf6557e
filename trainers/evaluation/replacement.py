"""Log lines about a new model: the model it replaces in the store, and which of the two is better.

Both are compared by the test results that their bundles record; no picture is classified again.
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
from trainers.dataset.splits.split_table import read_split
from trainers.evaluation.paired_comparison import PairedComparison, compare_answers


def find_latest(name: str) -> Bundle | None:
    """Return the bundle with the tag `NAME:latest`; None if it is missing or damaged."""
    try:
        return Bundle.read(store.resolve(f"{name}:latest"))
    except GraftError:
        return None


def describe(new: Bundle, old: Bundle | None, data: Path) -> Iterator[str]:
    """Yield log lines: which model was the latest before, and how the two models compare.

    Args:
        old: the model that was the latest before; None if there was none.
        data: the folder that the new model was trained on. If the recorded test results cannot be
            compared, a line shows a command that compares the models, with this folder.
    """
    name = new.manifest.name
    if old is None:
        yield f"the model is `{name}:latest` in BentoML's store, the first model of this name"
        return
    yield f"the model is now `{name}:latest` and replaces {summary.describe(old.manifest)}"
    result = compare_recorded(new, old)
    is_single_label = not (new.manifest.is_multi_label or old.manifest.is_multi_label)
    if new.manifest.task != old.manifest.task:
        yield "the figures of the two models cannot be compared, because their tasks differ"
    elif set(new.manifest.classes) != set(old.manifest.classes):
        yield "the accuracies of the two models cannot be compared, because their classes differ"
    elif result is None and not is_single_label:
        yield (
            "the recorded figures of the two models cannot be compared: their data or test "
            "pictures differ, or a bundle does not list all mistakes"
        )
    elif result is None:
        options = (str(new.path), "--over", old.manifest.tag, "--data", str(data))
        yield (
            "the recorded accuracies of the two models cannot be compared: their data or test "
            "pictures differ, or a bundle does not list all mistakes. This command tests both "
            "models on the same pictures: "
            f"{command_lines.python_command('trainers.promote', *options)}"
        )
    else:
        yield (
            f"accuracy on the same test pictures ({result.n}): new model {result.new:.4f}, old "
            f"model {result.old:.4f}; the difference, new minus old, is between "
            f"{result.low:+.4f} and {result.high:+.4f} (95% confidence interval)"
        )
    yield f"the old model is still in the store; to serve it, set GRAFT_MODEL={old.manifest.tag}"
    champion = next(iter(store.list_champions(name)), new.manifest.tag)
    if champion != new.manifest.tag and is_single_label:
        command = command_lines.python_command(
            "trainers.promote", str(new.path), "--data", str(data)
        )
        yield (
            f"{champion} is still the champion; this command compares the new model with it, and "
            f"makes the new model the champion if it is no worse: {command}"
        )


def list_doubts(new: Bundle, old: Bundle | None) -> Iterator[str]:
    """Yield warnings for the log: reasons why the new model may not be better than the old one."""
    yield from summary.model_warnings(new.manifest)
    if old is None:
        return
    new_source, old_source = (
        summary.training_data(bundle.manifest)["source"] for bundle in (new, old)
    )
    if new_source == summary.DRAWN and old_source != summary.DRAWN:
        yield (
            f"the new model was trained on {summary.DRAWN}, but it replaces "
            f"{old.manifest.tag}, which was not"
        )
    result = compare_recorded(new, old) if new.manifest.task == old.manifest.task else None
    if result and result.new < result.old:
        reservation = "" if result.high < 0 else ", but the difference may be due to chance"
        yield f"the new model is less accurate than {old.manifest.tag}{reservation}"


def compare_recorded(new: Bundle, old: Bundle) -> PairedComparison | None:
    """Compare the accuracies of two models by the mistakes that their bundles list.

    Returns:
        The comparison; None if the datasets or the test pictures of the models differ, or if a
        bundle does not list all mistakes.
    """
    try:
        return _compare(new, old)
    except (OSError, LookupError, TypeError, ValueError):
        return None  # bundles of other versions may lack some of these files or fields


def _compare(new: Bundle, old: Bundle) -> PairedComparison | None:
    paths = _test_paths(new)
    if not paths or paths != _test_paths(old) or _fingerprint(new) != _fingerprint(old):
        return None
    answers = []
    for bundle in (new, old):
        test = json.loads((bundle.path / "metrics.json").read_text(encoding="utf-8"))["test"]
        mistakes = {mistake["path"] for mistake in test["mistakes"]}
        if len(mistakes) != round(len(paths) * (1 - test["accuracy"])):
            return None  # metrics.json does not list all mistakes of a large test
        answers.append([path not in mistakes for path in sorted(paths)])
    return compare_answers(*answers)


def _test_paths(bundle: Bundle) -> set[str]:
    return {row.path for row in read_split(bundle) if row.split == "test"}


def _fingerprint(bundle: Bundle) -> Any:
    """Return the recorded hash of the dataset's pictures, names and classes; None if missing."""
    data = bundle.manifest.provenance.get("data")
    return data.get("fingerprint") if isinstance(data, dict) else None
