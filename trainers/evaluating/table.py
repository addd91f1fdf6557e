"""predictions.csv: one row for each picture of an evaluation, written while it is classified."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from service.engine.classification import join_labels
from service.engine.predictor import Predictor
from service.scoring.files import ScoredFile
from service.settings import Settings
from trainers.dataset.folders.scan import PictureFile

WriteRow = Callable[[PictureFile, ScoredFile], None]

NAME = "predictions.csv"
COLUMNS = ("path", "class", "label", "score", "class_score", "known", "novelty", "set", "error")
"""`class` is the true class, and `class_score` its probability. The other columns are those of
`service.predict --csv`; `label` is the answer."""
LABEL_COLUMNS = tuple(name if name != "class_score" else "labels" for name in COLUMNS)
"""The columns for a multi-label model: `class` is all true labels, joined by |, `labels` is all
labels of the answer, and `label` the most probable one."""


@contextmanager
def open_table(folder: Path, predictor: Predictor, settings: Settings) -> Iterator[WriteRow]:
    """Open the table in a folder; yield a function that writes the row of one picture."""
    indexes = {label: index for index, label in enumerate(predictor.classes)}
    with (folder / NAME).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writerow(LABEL_COLUMNS if predictor.is_multi_label else COLUMNS)

        def write(picture: PictureFile, scored: ScoredFile) -> None:
            start = [picture.name, picture.label]
            if scored.classification is None:
                error = f"{scored.error.code}: {scored.error}" if scored.error else ""
                writer.writerow([*start, *[""] * 6, error])
                return
            verdict = predictor.judge(scored.classification, settings, top_k=1)
            answer: str | float = ""
            if verdict.labels is not None:
                answer = join_labels(name for name, _ in verdict.labels)
            elif picture.label in indexes:
                probabilities = scored.classification.probabilities
                answer = round(float(probabilities[indexes[picture.label]]), 6)
            ((label, score),) = verdict.ranking
            known = "" if verdict.is_known is None else str(verdict.is_known).lower()
            novelty = "" if verdict.novelty is None else round(verdict.novelty, 6)
            labels = verdict.label_set
            shown = "" if labels is None else json.dumps(labels, ensure_ascii=False)
            writer.writerow([*start, label, round(score, 6), answer, known, novelty, shown, ""])

        yield write
