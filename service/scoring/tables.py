"""How scored pictures are written: plain lines, lines of JSON, or a CSV file, whole or absent."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TextIO

from service.bundle.files import flush
from service.engine.predictor import Predictor
from service.errors import WrongUse
from service.schemas import classified_json
from service.scoring.files import Scored
from service.system.interrupts import cleaned

Write = Callable[[Scored], None]


def write_line(classes: Sequence[str], scored: Scored) -> None:
    """`path, label, score` on stdout, between tabs; `path, nothing, nothing, error` for a bad one.

    Tabs and line breaks inside a name become spaces: a line is a picture.
    """
    if scored.probabilities is None:
        fields = [scored.path, "", "", _reason(scored)]
    else:
        best = int(scored.probabilities.argmax())
        fields = [scored.path, classes[best], f"{scored.probabilities[best]:.4f}"]
    print(*(" ".join(field.splitlines()).replace("\t", " ") for field in fields), sep="\t")


def write_json_line(predictor: Predictor, top: int, scored: Scored) -> None:
    """`path` and what POST /predict_batch gives for a picture, on stdout."""
    content: dict[str, object] = {"path": scored.path}
    if scored.probabilities is not None:
        content |= classified_json(predictor.rank(scored.probabilities, top))
    elif scored.error is not None:
        content["error"] = {"code": scored.error.code, "message": str(scored.error)}
    print(json.dumps(content))


@contextmanager
def csv_table(path: Path, classes: Sequence[str]) -> Iterator[Write]:
    """A CSV file that appears when everything is in it, and not at all otherwise.

    Columns are path, label, score, `probability_<class>` of every class, and error.

    Raises:
        WrongUse: it cannot be written.
    """
    with _in_place_of(path) as file:
        # Texts in quotation marks: csv sets none for a `\r`, where readers see the line's end.
        table = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        columns = [f"probability_{label}" for label in classes]

        def write(scored: Scored) -> None:
            with _explained(path):
                table.writerow(_row(classes, scored))

        with _explained(path):
            table.writerow(["path", "label", "score", *columns, "error"])
        yield write


@contextmanager
def _in_place_of(path: Path) -> Iterator[TextIO]:
    """A file that takes the place of `path` once it is whole; a link stays a link.

    What is no file (a pipe, a device), or is stdout, is written to as it is.
    """
    with _explained(path):
        is_stdout = path.exists() and os.path.samestat(path.stat(), os.fstat(1))
        is_file = not is_stdout and (path.is_file() or not path.exists())
        place = Path(os.path.realpath(path)) if is_file else path
        written = place.with_name(f".{place.name}.{os.getpid()}.partial") if is_file else place
    try:
        with _explained(path):
            opened = os.dup(1) if is_stdout else written
            file = open(opened, "w", encoding="utf-8", errors="backslashreplace", newline="")  # noqa: PTH123, SIM115
        with file, cleaned(written.unlink) if is_file else nullcontext():
            yield file
            with _explained(path):
                file.flush()
        if is_file:
            with _explained(path):
                flush(written)
                written.replace(place)
    finally:
        if is_file:
            with suppress(OSError):  # it took its place, or could not be opened
                written.unlink()


def _row(classes: Sequence[str], scored: Scored) -> list[str | float]:
    if scored.probabilities is None:
        return [scored.path, *[""] * (2 + len(classes)), _reason(scored)]
    best = int(scored.probabilities.argmax())
    numbers = [float(f"{value:.7g}") for value in scored.probabilities.tolist()]
    return [scored.path, classes[best], numbers[best], *numbers, ""]


def _reason(scored: Scored) -> str:
    return "" if scored.error is None else f"{scored.error.code}: {scored.error}"


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WrongUse(
            f"cannot write {path}: {error.strerror}; give --csv a file in a folder that is there, "
            "writable, and has room"
        ) from error
