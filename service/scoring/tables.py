"""Write the results of scoring as lines of text, as JSON lines, or as a CSV file."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TextIO

from service.bundle.files import fsync
from service.engine.classification import SEPARATOR, Classification, Verdict, join_labels
from service.engine.predictor import Predictor
from service.errors import UsageError
from service.schemas import classified_json
from service.scoring.files import ScoredFile
from service.settings import Settings
from service.system.interrupts import cleanup_on_signal

WriteRow = Callable[[ScoredFile], None]
Judge = Callable[[Classification], Verdict]
_TRUST_COLUMNS = ("known", "novelty", "set")
_FIRST_COLUMNS = ("path", "label", "score")


def write_line(judge: Judge, scored: ScoredFile) -> None:
    """Print a line of text for one file: path, label and score, separated by tabs.

    If the model is multi-label, the second column has all labels, joined by |, and the third one
    their scores; without a label, they are "none of the labels" and empty.
    A fourth column follows if the picture is unlike the training pictures, or if the file was not
    classified: then label and score are empty, and the column shows the error.
    Tabs and line breaks inside a column become spaces, so each picture has exactly one line.
    """
    if scored.classification is None:
        fields = [scored.path, "", "", _error_text(scored)]
    else:
        verdict = judge(scored.classification)
        labels = verdict.ranking[:1] if verdict.labels is None else sorted(verdict.labels)
        label = join_labels(name for name, _ in labels) or "none of the labels"
        scores = SEPARATOR.join(f"{score:.4f}" for _, score in labels)
        note = ["unlike the training pictures"] if verdict.is_known is False else []
        fields = [scored.path, label, scores, *note]
    print(*(" ".join(field.splitlines()).replace("\t", " ") for field in fields), sep="\t")


def write_json_line(predictor: Predictor, settings: Settings, scored: ScoredFile) -> None:
    """Print a line of JSON for one file: `path`, and the fields of a result in /predict_batch."""
    content: dict[str, object] = {"path": scored.path}
    if scored.classification is not None:
        content |= classified_json(predictor.judge(scored.classification, settings))
    elif scored.error is not None:
        content["error"] = {"code": scored.error.code, "message": str(scored.error)}
    print(json.dumps(content))


@contextmanager
def csv_table(
    path: Path, classes: Sequence[str], judge: Judge, is_multi_label: bool = False
) -> Iterator[WriteRow]:
    """Open a CSV file; yield a function that writes the row of one picture.

    The complete file appears at `path` when the block ends. If the block raises an error, `path`
    remains unchanged. The columns are path, label, score, `probability_<class>` for every class,
    known, novelty, set (a JSON list of labels), and error. If the model is multi-label, there is
    also `labels`, the labels joined by |. What the model cannot tell is empty.
    An existing file is replaced only if it is such a table, because a shell
    expands `--csv *.jpg` to the names of pictures.

    Args:
        path: path of the CSV file.
        classes: labels of all classes, in the order of the model's outputs.
        judge: what an answer says about a picture, as `Predictor.judge`.
        is_multi_label: whether the model gives a picture any number of labels.

    Raises:
        UsageError: the CSV file cannot be written, or `path` is another file.
    """
    with _replacing(path) as file:
        # Quote all texts: csv alone would not quote `\r`, which many readers take for a line break.
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        columns = [f"probability_{label}" for label in classes]
        trust_columns = [*_TRUST_COLUMNS, "labels"] if is_multi_label else _TRUST_COLUMNS
        blank = [""] * (2 + len(columns) + len(trust_columns))

        def write(scored: ScoredFile) -> None:
            with _usage_error_on_oserror(path):
                writer.writerow(_row(judge, scored) or [scored.path, *blank, _error_text(scored)])

        with _usage_error_on_oserror(path):
            writer.writerow([*_FIRST_COLUMNS, *columns, *trust_columns, "error"])
        yield write


def _require_table(path: Path) -> None:
    """Raise UsageError unless a file is empty, or a table that `csv_table` has written."""
    expected = ",".join(f'"{name}"' for name in _FIRST_COLUMNS).encode()
    with path.open("rb") as file:
        start = file.read(len(expected))
    if start and start != expected:
        raise UsageError(
            f"{path} would be overwritten, but it is not a table of this command: give --csv the "
            "path of a new file, before the pictures; or delete this file first"
        )


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
        if is_file and path.exists():
            _require_table(path)
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


def _row(judge: Judge, scored: ScoredFile) -> list[str | float]:
    """Return the cells of a picture; none if it was not classified."""
    if scored.classification is None:
        return []
    verdict = judge(scored.classification)
    label, score = verdict.ranking[0]
    numbers = [_rounded(value) for value in scored.classification.probabilities.tolist()]
    known = "" if verdict.is_known is None else str(verdict.is_known).lower()
    novelty = "" if verdict.novelty is None else _rounded(verdict.novelty)
    labels = verdict.label_set
    shown = "" if labels is None else json.dumps(labels, ensure_ascii=False)
    trust = [known, novelty, shown]
    if verdict.labels is not None:
        trust.append(join_labels(name for name, _ in verdict.labels))
    return [scored.path, label, _rounded(score), *numbers, *trust, ""]


def _rounded(value: float) -> float:
    return float(f"{value:.7g}")


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
