"""Writes report.html and the model card of a multi-label model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from service.bundle import summary
from service.bundle.manifest import REPORT, Manifest
from trainers.config import TrainingConfig
from trainers.dataset.dataset import Dataset
from trainers.dataset.splits import splitting
from trainers.evaluation.metrics import to_dense
from trainers.model_card import card
from trainers.model_card.markdown import code, code_block, prose
from trainers.multi_label.metrics import LabelledPictures
from trainers.reporting import charts, gallery, reliability, tables
from trainers.reporting.curves import training_curves
from trainers.reporting.report import templates

MAX_MISTAKES = 24
"""The report shows at most this many pictures with wrong labels."""
NO_LABELS = "none of the labels"


@dataclass(frozen=True)
class LabelledThumbnail:
    """A picture whose labels in the table and in the answer differ, as the report shows it.

    Attributes:
        data_uri: the thumbnail.
        score: for a mistake, how sure the answer is; for a suspect, how sure the suggestion is.
        missing: labels that the table has, but not the answer.
        extra: labels that the answer has, but not the table.
    """

    data_uri: str
    path: str
    score: float
    missing: tuple[str, ...]
    extra: tuple[str, ...]


def write(
    folder: Path,
    manifest: Manifest,
    metrics: Mapping[str, Any],
    dataset: Dataset,
    config: TrainingConfig,
) -> None:
    """Write report.html and README.md into a bundle that is not sealed yet.

    Args:
        manifest: the manifest with its headline metrics; its id is not needed.
        metrics: the content of metrics.json.
        dataset: the dataset that the model was trained on, with decoded pictures.
    """
    environment = templates(Path(__file__).parent)
    page = environment.get_template("multi_label_report.html").render(
        measured_sections(manifest, metrics, dataset),
        warnings=list(summary.model_warnings(manifest)),
        counts=splitting.describe(dataset),
        curves=list(training_curves(metrics)),
        suspects=list_suspects(metrics["suspects"], dataset),
        provenance=list(tables.flatten(manifest.provenance)),
    )
    (folder / REPORT).write_text(page, encoding="utf-8")
    markdown = environment.overlay(autoescape=False)
    markdown.filters |= {"code": code, "prose": prose}
    text = markdown.get_template("card.md").render(_card(manifest, metrics, config))
    (folder / card.FILE_NAME).write_text(text + "\n", encoding="utf-8")


def measured_sections(
    manifest: Manifest, metrics: Mapping[str, Any], pictures: LabelledPictures
) -> dict[str, Any]:
    """Return the values that the template needs, whether a model was just trained or not.

    Args:
        metrics: `test` and `calibration`, as in metrics.json. The table of labels has the number of
            training pictures if there is also `train`.
        pictures: the pictures that were classified.
    """
    test, calibration = metrics["test"], metrics["calibration"]
    return {
        "manifest": manifest,
        "metrics": metrics,
        "test": test,
        "calibration": calibration,
        "charts": charts,
        "rows": tables.per_class(metrics),
        "mistakes": list_mistakes(test["mistakes"], pictures),
        "matrix": _cooccurrence(test, manifest.classes),
        "reliability": reliability.plot(calibration["bins"], "share of pictures with the label"),
    }


def _card(manifest: Manifest, metrics: Mapping[str, Any], config: TrainingConfig) -> dict[str, Any]:
    """Return the values of the model card."""
    head = card.metadata(manifest, metrics)
    (result,) = head["model-index"][0]["results"]
    f1 = {"type": "f1", "value": metrics["test"]["macro_f1"], "name": "Test macro F1"}
    head["metrics"], result["metrics"] = ["f1", "accuracy"], [f1, *result["metrics"]]
    return {
        "manifest": manifest,
        "metrics": metrics,
        "test": metrics["test"],
        "calibration": metrics["calibration"],
        "rows": tables.per_class(metrics),
        "warnings": list(summary.model_warnings(manifest)),
        "head": yaml.safe_dump(head, sort_keys=False, allow_unicode=True),
        "command": code_block(card.command(manifest, config), "sh"),
    }


def list_suspects(
    recorded: Mapping[str, Any], pictures: LabelledPictures
) -> list[LabelledThumbnail]:
    """Return thumbnails of pictures whose labels may be wrong, the most suspicious first.

    Args:
        recorded: `suspects` of metrics.json.
    """
    entries = [
        {
            "path": suspect["path"],
            "truth": suspect["label"],
            "answer": suspect["suggested_label"],
            "score": suspect["suggested_score"],
        }
        for suspect in recorded["pictures"]
    ]
    return list_mistakes(entries, pictures)


def list_mistakes(
    recorded: Sequence[Mapping[str, Any]], pictures: LabelledPictures
) -> list[LabelledThumbnail]:
    """Return thumbnails of pictures with wrong labels, at most MAX_MISTAKES, in the given order.

    Args:
        recorded: `mistakes` of the test, as in metrics.json.
    """
    shown = recorded[:MAX_MISTAKES]
    rows = np.array([pictures.paths.index(mistake["path"]) for mistake in shown], np.int64)
    return [
        LabelledThumbnail(
            gallery.shrink(image),
            mistake["path"],
            mistake["score"],
            *(
                tuple(sorted(_split(mistake[one]) - _split(mistake[other])))
                for one, other in (("truth", "answer"), ("answer", "truth"))
            ),
        )
        for mistake, image in zip(shown, pictures.images[rows], strict=True)
    ]


def _split(labels: str) -> set[str]:
    return set(labels.split("|")) - {""}


def _cooccurrence(test: Mapping[str, Any], classes: tuple[str, ...]) -> dict[str, Any]:
    """Return how many pictures have both of two labels, of the labels with the most pictures."""
    matrix = to_dense(test["cooccurrence"])
    chosen = np.argsort(-matrix.diagonal(), kind="stable")[: tables.MAX_IN_MATRIX]
    return {
        "labels": [classes[index] for index in chosen.tolist()],
        "rows": matrix[np.ix_(chosen, chosen)].tolist(),
        "is_part": len(chosen) < len(classes),
    }
