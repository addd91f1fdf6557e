"""Adds a finished bundle to BentoML's model store, and logs how good the model is."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.bundle import store, summary
from service.bundle.manifest import REPORT
from service.bundle.reading import Bundle
from service.cli import command_lines
from service.errors import GraftError
from trainers.evaluation import replacement
from trainers.progress import log

MULTI_LABEL_FIGURES = ("macro_f1", "micro_f1", "mean_average_precision")
"""The figures of metrics.json that a run also prints with --json if its model is multi-label."""
MIN_FOLDS = 5
"""With fewer folds, the log says that the interval of the mean is wide."""
MAX_CONFUSED_PAIRS, MIN_MISTAKES = 3, 3
"""The log shows at most MAX_CONFUSED_PAIRS pairs of confused classes, and none with fewer mistakes
than MIN_MISTAKES, which are chance. The report shows more."""

FOLD_FIGURES = ("k", "n", "accuracy", "accuracy_std", "accuracy_interval")
"""The figures of cross-validation that a run prints with --json."""


def register(bundle: Bundle, metrics: Mapping[str, Any], data: Path) -> dict[str, Any]:
    """Make a bundle the latest model of its name; log its accuracy and which model it replaces.

    Args:
        metrics: the content of metrics.json.
        data: the folder that the model was trained on.

    Returns:
        The values that a run prints with --json: bundle, report, model, test_accuracy,
        test_accuracy_interval, validation_accuracy, data, replaces; with --folds also folds. If the
        model is multi-label, an accuracy is the share of pictures whose labels are all right, and
        there are also test_macro_f1, test_micro_f1 and test_mean_average_precision.

    Raises:
        GraftError: the bundle is complete, but the store is not writable.
    """
    test = metrics["test"]
    previous = replacement.find_latest(bundle.manifest.name)
    model = save(bundle)
    log_test(bundle, model, test)
    folds = metrics.get("folds")
    if folds:
        log_folds(folds)
    log_replacement(bundle, previous, data)
    return {
        "bundle": str(bundle.path),
        "report": str(bundle.path / REPORT),
        "model": model,
        "test_accuracy": test["accuracy"],
        "test_accuracy_interval": test["accuracy_interval"],
        "validation_accuracy": metrics["validation"]["accuracy"],
        **({"folds": {name: folds[name] for name in FOLD_FIGURES}} if folds else {}),
        "data": summary.training_data(bundle.manifest)["source"],
        "replaces": previous and previous.manifest.tag,
        **{f"test_{name}": test[name] for name in MULTI_LABEL_FIGURES if name in test},
    }


def save(bundle: Bundle) -> str:
    """Copy a bundle into the store; return its tag.

    Raises:
        GraftError: the store is not writable. The message says how to serve the bundle without the
            store.
    """
    try:
        return store.save(bundle)
    except (OSError, GraftError) as error:
        raise GraftError(
            f"{bundle.path} is complete, but could not be copied into BentoML's store: {error}; "
            "set BENTOML_HOME and TMPDIR to writable folders with enough free space, or serve the "
            f"bundle from its folder with GRAFT_MODEL={bundle.path}"
        ) from error


def log_test(bundle: Bundle, model: str, test: Mapping[str, Any]) -> None:
    """Log the test figures, the most confused classes, the report's path and the serving command.

    Args:
        model: the tag of the bundle in the store.
        test: the metrics of the test pictures, as in metrics.json.
    """
    low, high = test["accuracy_interval"]
    if bundle.manifest.is_multi_label:
        log.info("test figures: %s", summary.describe_accuracy(bundle.manifest))
    is_drawn = summary.training_data(bundle.manifest)["source"] == summary.DRAWN
    pictures = "picture" if test["n"] == 1 else "pictures"
    log.info(
        "test accuracy %.4f%s on %d %s (95%% confidence interval %.3f to %.3f), measured with the "
        "exported ONNX model",
        test["accuracy"],
        " (all labels of a picture right)" if bundle.manifest.is_multi_label else "",
        *(test["n"], summary.DRAWN if is_drawn else pictures, low, high),
    )
    pairs = (pair for pair in test.get("most_confused", []) if pair["mistakes"] >= MIN_MISTAKES)
    for pair in itertools.islice(pairs, MAX_CONFUSED_PAIRS):
        log.info("  %s", pair["advice"])
    log.info("report: %s", bundle.path / REPORT)
    log.info("serve it:  %s", command_lines.serve_command(model))


def log_folds(folds: Mapping[str, Any]) -> None:
    """Log the mean accuracy of cross-validation (--folds), and its interval."""
    low, high = folds["accuracy_interval"]
    log.info(
        "cross-validated test accuracy %.4f, standard deviation %.4f, in %d folds of %d pictures "
        "(95%% confidence interval of the mean %.3f to %.3f)",
        *(folds["accuracy"], folds["accuracy_std"], folds["k"], folds["n"], low, high),
    )
    if folds["k"] < MIN_FOLDS:
        log.info("with so few folds the interval is wide: use --folds 5 or 10 for a narrower one")


def log_replacement(bundle: Bundle, previous: Bundle | None, data: Path) -> None:
    """Log which model is replaced, and warn if the new model may not be better."""
    for line in replacement.describe(bundle, previous, data):
        log.info("%s", line)
    for doubt in replacement.list_doubts(bundle, previous):
        log.warning("careful: %s", doubt)
