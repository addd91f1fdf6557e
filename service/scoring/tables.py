"""Write the results of scoring as lines of text, as JSON lines, or as a CSV file."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from service.bundle.files import fsync
from service.engine.predictor import Predictor
from service.errors import UsageError
from service.schemas import classified_json
from service.scoring.files import ScoredFile
from service.settings import Settings
from service.system.interrupts import cleanup_on_signal

WriteRow = Callable[[ScoredFile], None]
LabelSet = Callable[[NDArray[np.float32]], list[str] | None]


def write_line(classes: Sequence[str], scored: ScoredFile) -> None:
    """Print a line of text for one file: path, label and score, separated by tabs.

    If the file was not classified, label and score are empty, and a fourth column shows the error.
    Tabs and line breaks inside a column become spaces, so each picture has exactly one line.
    """
    if scored.probabilities is None:
        fields = [scored.path, "", "", _error_text(scored)]
    else:
        best = int(scored.probabilities.argmax())
        fields = [scored.path, classes[best], f"{scored.probabilities[best]:.4f}"]
    print(*(" ".join(field.splitlines()).replace("\t", " ") for field in fields), sep="\t")


def write_json_line(predictor: Predictor, settings: Settings, scored: ScoredFile) -> None:
    """Print a line of JSON for one file: `path`, and the fields of a result in /predict_batch."""
    content: dict[str, object] = {"path": scored.path}
    if scored.probabilities is not None:
        content |= classified_json(
            predictor.rank(scored.probabilities, settings.top_k),
            predictor.label_set(scored.probabilities, settings.confidence),
        )
    elif scored.error is not None:
        content["error"] = {"code": scored.error.code, "message": str(scored.error)}
    print(json.dumps(content))


@contextmanager
def csv_table(
    path: Path, classes: Sequence[str], label_set: LabelSet = lambda _: None
) -> Iterator[WriteRow]:
    """Open a CSV file; yield a function that writes the row of one picture.

    The complete file appears at `path` when the block ends. If the block raises an error, `path`
    remains unchanged. The columns are path, label, score, `probability_<class>` for every class,
    set (a JSON list of labels, empty if the model has no sets), and error.

    Args:
        path: path of the CSV file.
        classes: labels of all classes, in the order of the model's outputs.
        label_set: (classes,) probabilities -> the labels in the set; None = no set.

    Raises:
        UsageError: the CSV file cannot be written.
    """
    with _replacing(path) as file:
        # Quote all texts: csv alone would not quote `\r`, which many readers take for a line break.
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        columns = [f"probability_{label}" for label in classes]

        def write(scored: ScoredFile) -> None:
            with _usage_error_on_oserror(path):
                writer.writerow(_row(classes, label_set, scored))

        with _usage_error_on_oserror(path):
            writer.writerow(["path", "label", "score", *columns, "set", "error"])
        yield write


@contextmanager
def _replacing(path: Path) -> Iterator[TextIO]:
    """Open a temporary file that replaces `path` when the block ends.

    If the block raises an error, `path` remains unchanged. If `path` is a symbolic link, the file
    to which it points is replaced. If `path` is a pipe, a device or stdout, the block writes to it
    directly, without a temporary file.
    """
    with _usage_error_on_oserror(path):
        is_stdout = path.exists() and os.path.samestat(path.stat(), os.fstat(1))
        is_file = not is_stdout and (path.is_file() or not path.exists())
        target = Path(os.path.realpath(path)) if is_file else path
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial") if is_file else target
    try:
        with _usage_error_on_oserror(path):
            destination = os.dup(1) if is_stdout else partial
            file = open(destination, "w", encoding="utf-8", errors="backslashreplace", newline="")  # noqa: PTH123, SIM115
        with file, cleanup_on_signal(partial.unlink) if is_file else nullcontext():
            yield file
            with _usage_error_on_oserror(path):
                file.flush()
        if is_file:
            with _usage_error_on_oserror(path):
                fsync(partial)
                partial.replace(target)
    finally:
        if is_file:
            with suppress(OSError):  # the temporary file was renamed, or could not be created
                partial.unlink()


def _row(classes: Sequence[str], label_set: LabelSet, scored: ScoredFile) -> list[str | float]:
    if scored.probabilities is None:
        return [scored.path, *[""] * (3 + len(classes)), _error_text(scored)]
    best = int(scored.probabilities.argmax())
    numbers = [float(f"{value:.7g}") for value in scored.probabilities.tolist()]
    labels = label_set(scored.probabilities)
    shown = "" if labels is None else json.dumps(labels, ensure_ascii=False)
    return [scored.path, classes[best], numbers[best], *numbers, shown, ""]


def _error_text(scored: ScoredFile) -> str:
    return "" if scored.error is None else f"{scored.error.code}: {scored.error}"


@contextmanager
def _usage_error_on_oserror(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror}; give --csv the path of a file in an existing "
            "folder to which you may write, on a disk with enough free space"
        ) from error
