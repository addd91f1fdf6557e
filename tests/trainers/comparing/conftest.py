"""A comparison of three backbones, one of which could not be measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainers.comparing.candidates import Candidate, CandidateResult, Figures, recommend
from trainers.comparing.comparison import Comparison
from trainers.config import TrainingConfig
from trainers.dataset.dataset import Dataset
from trainers.dataset.findings.finding import Finding
from trainers.dataset.inspection import INSPECTION

FIGURES: dict[str, Any] = {
    "image_size": 32,
    "validation_pictures": 100,
    "test_accuracy": 0.875,
    "test_interval": (0.8, 0.93),
    "test_pictures": 80,
    "model_bytes": 4_100_000,
    "parameters": 1_036_850,
    "width": 12,
    "seconds": 2.5,
    "head": "linear head",
}


@pytest.fixture(scope="session")
def make_comparison() -> Callable[..., Comparison]:
    """Make a comparison: make_comparison(("cat", "dog"), folder="pets")."""

    def make_comparison(
        classes: tuple[str, ...] = ("cat", "dog"), folder: str = "pets"
    ) -> Comparison:
        slow = Figures(**FIGURES, validation_accuracy=0.9, inference_ms=20.0, were_kept=False)
        fast = Figures(**FIGURES, validation_accuracy=0.89, inference_ms=2.0, were_kept=True)
        results = [
            CandidateResult(Candidate("resnet:50", "imagenet", "resnet:50"), slow),
            CandidateResult(
                Candidate("vgg:16", "imagenet", "vgg:16"), problem="no weights <here>\n  Fetch them"
            ),
            CandidateResult(Candidate("pocket:1", "embedded", "pocket:1"), fast),
        ]
        dataset = Dataset(
            folder=Path(folder),
            classes=classes,
            paths=("a", "b", "c", "d"),
            labels=np.array([0, 0, 1, 1]),
            splits=("train", "test", "validation", "train"),
            digests=("",) * 4,
            inspections=np.zeros(4, INSPECTION),
            duplicate_groups=np.arange(4),
            fingerprint="f" * 64,
            left_out=(),
        )
        findings = (Finding("tiny_class", "warning", f"1 class small: `{classes[0]}`", ()),)
        config = TrainingConfig(plugin="tiny", data=folder)
        return Comparison(results, recommend(results), dataset, findings, config)

    return make_comparison
