from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt

from service.bundle.manifest import InputSpec, Manifest
from trainers.cli.arguments import parse
from trainers.config import TrainingConfig
from trainers.evaluation.calibration import evaluate_calibration
from trainers.evaluation.metrics import confusion_matrix, summarise
from trainers.evaluation.predictions import Predictions
from trainers.model_card import card as model_card

MakeCard = Callable[..., str]
HOSTILE = ("a|b `c`", "<img src=x onerror=alert(1)>", "---\nname: x", "{{ 7*7 }}", "\udce4 'q\"")


@pytest.fixture
def card() -> MakeCard:
    """Render a card: card(classes=("cat", "dog"), folder="pets", plugin="tiny", seed=1, ...).

    Of the 20 test pictures of each class, two are classified as the next class. Further arguments
    are entries of metrics.json or fields of the configuration.
    """

    def render(classes: tuple[str, ...] = ("cat", "dog"), **changes: Any) -> str:
        labels = np.repeat(np.arange(len(classes)), 20)
        predicted = np.where(np.arange(len(labels)) % 20 < 2, (labels + 1) % len(classes), labels)
        probabilities = np.full((len(labels), len(classes)), 0.1 / len(classes), np.float32)
        probabilities[np.arange(len(labels)), predicted] += 0.9
        predictions = Predictions(np.arange(len(labels)), labels, probabilities)
        test = summarise(confusion_matrix(labels, predicted, len(classes)), classes)
        metrics = {
            "test": test,
            "train": {"n": 70},
            "validation": {"n": 30},
            "calibration": evaluate_calibration(predictions, predictions, 1.25),
            "shipped": {"phase": "head", "is_refitted": False},
            "findings": [],
            "novelty": None,
        }
        metrics |= {name: changes.pop(name) for name in set(metrics) & set(changes)}
        options = {
            name: changes.pop(name) for name in set(TrainingConfig.model_fields) & {*changes}
        }
        low, high = test["accuracy_interval"]
        data = {"fingerprint": "f" * 64, "pictures": 1140, "source": "pictures of a folder"}
        data |= {"folder": changes.pop("folder", "pets")}
        data |= changes.pop("data_record", {})
        weights = {"source": "imagenet", "sha256": "e" * 64, "licence": None}
        manifest = Manifest(
            name="pets",
            created="2026-01-02T03:04:05Z",
            plugin="tiny:s",
            classes=classes,
            input=InputSpec(size=32),
            outputs=(),
            opset=17,
            decoder="",
            metrics={
                "test_accuracy": test["accuracy"],
                "test_pictures": test["n"],
                "test_accuracy_low": low,
                "test_accuracy_high": high,
                "test_majority_share": 1 / len(classes),
            },
            parity={},
            provenance={
                "data": data,
                "weights": weights | changes.pop("weights_record", {}),
                "packages": {"keras": "3.15.1"},
                "python": "3.11.7",
                "git_commit": "c" * 40,
            },
        )
        return model_card.render(manifest, metrics, TrainingConfig(plugin="tiny", **options))

    return render


def read_head(card: str) -> dict[str, Any]:
    _, head, _ = card.split("---\n", 2)
    content: dict[str, Any] = yaml.safe_load(head)
    return content


def test_the_head_has_the_fields_that_hugging_face_reads(card: MakeCard) -> None:
    """The names are those of huggingface_hub.ModelCardData, and of EvalResult for the results."""
    head = read_head(card())
    assert set(head) == {
        *("library_name", "pipeline_tag", "tags", "datasets", "metrics", "model-index"),
    }
    assert head["pipeline_tag"] == "image-classification"
    assert all(isinstance(head[name], list) for name in ("tags", "datasets", "metrics"))
    (index,) = head["model-index"]
    assert index["name"] == "pets"
    (result,) = index["results"]
    assert result["task"] == {"type": "image-classification"}
    assert result["dataset"] == {"type": "imagefolder", "name": "pets", "split": "test"}
    assert result["metrics"] == [{"type": "accuracy", "value": 0.9, "name": "Test accuracy"}]


def test_the_text_has_the_measured_figures(card: MakeCard) -> None:
    text = card()
    assert "on 40 test pictures that were not used in training" in text
    assert "| accuracy | 90.0% (95% confidence interval 76.9% to 96.0%) |" in text
    assert "| accuracy of always answering the most common class | 50.0% |" in text
    assert "divided by 1.25, which was fitted on 40 validation pictures" in text
    assert "| 100.0% contained it, with 2.0 labels on average |" in text
    assert "`cat` (recall 90.0% of 20 test pictures, precision 90.0%)" in text
    assert "Confused most often: `cat` and `dog` (4 mistakes)." in text
    assert "1,140 pictures of `pets`: 70 for training, 30 for validation" in text
    assert "whose layers were not changed" in text
    assert "whose last layers were fine-tuned" in card(
        shipped={"phase": "fine-tuning", "is_refitted": False}
    )
    refitted = card(shipped={"phase": "head", "is_refitted": True})
    assert "fitted on 40 pictures that were held out in cross-validation" in refitted
    assert "`pets`: 30 for training and cross-validation, 40 for the test" in refitted


def test_limits_come_from_the_warnings_and_the_findings(card: MakeCard) -> None:
    findings = [{"severity": "error", "message": "2 groups of `x`"}] * 8
    text = card(findings=findings, data_record={"source": "drawn sample pictures"})
    assert "- **Warning:** the model was trained on drawn sample pictures" in text
    assert text.count("- The check of the pictures found: 2 groups of `x`.") == 6
    assert "`findings.json` has 2 more findings." in text
    assert "Warning" not in card()


def test_the_share_of_known_pictures_that_are_called_unknown_is_a_limit(card: MakeCard) -> None:
    assert "shows none of them, and does not say so." in card()
    test = {"n": 40, "unknown": 3, "unknown_share": 0.075}
    held_out = {"auroc": 0.75, "classes": [{}] * 5}
    text = card(novelty={"test": test, "held_out": held_out})
    assert "3 of the 40 test pictures (7.5%) were called unknown" in text
    assert "in 75.0% of all pairs (AUROC, mean of 5 classes)." in text
    assert "too high" not in text
    shipped = {"phase": "fine-tuning", "is_refitted": False}
    assert "too high" in card(novelty={"test": test, "held_out": held_out}, shipped=shipped)
    assert "held out" not in card(novelty={"test": test, "held_out": None})


def test_licences_are_never_invented(card: MakeCard) -> None:
    text = card()
    assert "license" not in text.lower().replace("no file license", "")
    assert text.count("not stated") == 3  # pictures, model, weights
    assert "Licence of this model: not stated." in text
    licensed = card(
        data_record={"licence_file": "LICENSE.txt"},
        weights_record={"licence": "MIT"},
    )
    assert "see `LICENSE.txt` in that folder." in licensed
    assert "Licence of these weights: MIT, as their publishers state." in licensed
    assert "random weights." in card(weights_record={"source": "none"})


def test_the_command_repeats_the_run(card: MakeCard) -> None:
    options = {"seed": 3, "flip": "none", "keep_thumbnails": True}
    text = card(folder="my pets", weights="/home/me/w.h5", strict=True, resume=True, **options)
    (line,) = [line for line in text.splitlines() if line.startswith("python -m trainers.run")]
    expected = TrainingConfig(plugin="tiny", data="my pets", weights="w.h5", **options)
    assert parse(shlex.split(line)[3:]).config == expected
    assert "/home/me" not in text
    drawn = card(data_record={"source": "drawn sample pictures"}, data="demo")
    assert "--data demo" in drawn


def test_names_of_users_are_only_text(card: MakeCard) -> None:
    text = card(HOSTILE, folder=HOSTILE[2], data_record={"licence_file": "x`|/LICENSE"})
    text.encode()
    assert read_head(text)["model-index"][0]["results"][0]["dataset"]["name"] == r"---\x0aname: x"
    parser = MarkdownIt("js-default")
    plain, hostile = (
        [token.type for token in parser.parse(page.split("---\n", 2)[2])]
        for page in (card(tuple("abcde")), text)
    )
    assert hostile == plain  # no heading, table, rule or HTML more
    inline = [token for token in parser.parse(text.split("---\n", 2)[2]) if token.children]
    kinds = {child.type for token in inline for child in token.children or []}
    assert kinds <= {"text", "code_inline", "softbreak", "strong_open", "strong_close"}
    assert "49" not in text.replace("7*7", "")
