from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.bundle.manifest import InputSpec, Manifest
from trainers.dataset.dataset import Dataset
from trainers.dataset.images import Images
from trainers.dataset.inspection import INSPECTION
from trainers.evaluation.metrics import Predictions, evaluate
from trainers.reporting import report

Write = Callable[..., str]
LINEAR = [{"C": c, "val_loss": loss, "val_accuracy": 0.8} for c, loss in ((0.01, 0.9), (0.1, 0.5))]
EPOCHS = [
    {"loss": 1.0, "accuracy": 0.7, "val_loss": 2.0, "val_accuracy": 0.6},
    {"loss": 0.5, "accuracy": 0.8, "val_loss": None, "val_accuracy": 0.7},
]
VOID = {"meta", "img", "rect", "line", "circle", "polyline", "br"}


@pytest.fixture
def page(tmp_path: Path) -> Write:
    """Write the page for a confusion matrix of the test; other metrics can be given by name."""

    def write(
        matrix: list[list[int]], classes: tuple[str, ...], source: str = "", **more: Any
    ) -> str:
        pairs = [
            (actual, found)
            for actual, row in enumerate(matrix)
            for found, count in enumerate(row)
            for _ in range(count)
        ]
        true, found = np.array(pairs).T
        count = len(pairs)
        noise = np.random.default_rng(0).integers(0, 256, (count, 128, 128, 3), np.uint8)
        dataset = Dataset(
            folder=Path("pets"),
            classes=classes,
            paths=tuple(f"{classes[at]}/{row}<i>.png" for row, at in enumerate(true)),
            labels=true,
            splits=("test",) * count,
            digests=("00" * 32,) * count,
            inspections=np.zeros(count, INSPECTION),
            duplicate_groups=np.arange(count),
            fingerprint="",
            left_out=(),
            images=Images.from_array(noise),
        )
        scores = np.linspace(0.3, 0.9, count, dtype=np.float32)
        predictions = Predictions(np.arange(count), true, found, scores)
        test = evaluate(predictions, dataset)
        metrics = {
            "test": test,
            "validation": test,
            "train": {"per_class": {label: {"n": 7, "weight": 1.5} for label in classes}},
            "balance": None,
            "parity": {"tolerance": 1e-4, "max_difference": {"onnx": 2e-7}},
            "phases": {"head": LINEAR, "fine-tuning": EPOCHS},
            "plan": {"reasons": ["the `<b>` head is solved", "fine-tuning, because"]},
            "decision": "the model is the result of fine-tuning",
            "selection": {
                "head": {"method": "cross-validation", "folds": 5, "n": 40, "accuracy": 0.625},
                "flip": {"chosen": "none", "reason": "by cross-validation on 40 pictures"},
            },
            "shipped": {"phase": "fine-tuning", "best_fine_tuning_epoch": 1},
            "left_out": [{"path": "a/<b>.txt", "reason": "no picture", "kind": ""}],
            "findings": [{"severity": "warning", "message": "2 classes: `<b>` is small"}],
            "seconds": {"decoding": 1.5, "fine-tuning": 120.0},
            **more,
        }
        manifest = Manifest(
            name="leaves",
            created="2026-01-02T03:04:05Z",
            plugin="tiny:s",
            classes=classes,
            input=InputSpec(size=32),
            outputs=(),
            opset=17,
            decoder="",
            metrics={},
            parity={},
            provenance={
                "data": {"source": source},
                "seed": 0,
                "weights": {"source": "<b>.h5"},
                "git_commit": None,
            },
        )
        report.write(tmp_path / "report.html", manifest, metrics, dataset, predictions)
        return (tmp_path / "report.html").read_text(encoding="utf-8")

    return write


def text(shown: str) -> str:
    """The text of the page, without markup and with single spaces."""
    body = shown[shown.index("<body>") :]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


CATS = ([[8, 2], [0, 10]], ("cat", "dog"))


def test_the_first_line_says_where_the_pictures_are_drawn(page: Write) -> None:
    shown = page(*CATS, source="drawn sample pictures")
    assert text(shown).lstrip().startswith("Trained on drawn sample pictures, not on yours.")
    assert "<title>leaves: 90.0% on drawn sample pictures</title>" in shown
    assert "drawn" not in page(*CATS)


def test_the_headline_says_what_the_accuracy_means(page: Write) -> None:
    shown = text(page(*CATS))
    assert (
        "90.0% test accuracy: this share of the 20 test pictures is classified correctly." in shown
    )
    assert "about 90 correct answers" in shown
    assert "anything from 70 to 97 (95% confidence interval 69.9% to 97.2%)" in shown
    assert "accuracy of always answering the most common class 50.0%" in shown


def test_the_page_says_what_was_chosen_found_left_out_and_how_long_it_took(page: Write) -> None:
    shown = page(*CATS)
    assert "The <code>&lt;b&gt;</code> head is solved." in shown
    assert "<strong>The model is the result of fine-tuning.</strong>" in shown
    assert "Mirrored views (--flip): none, by cross-validation on 40 pictures." in shown
    assert "chosen by cross-validation in 5 folds" in shown
    assert "cross-validated accuracy of the head 62.5%" in text(shown)
    assert "<b>Warning:</b> 2 classes: <code>&lt;b&gt;</code> is small." in shown
    assert "a/&lt;b&gt;.txt: no picture" in shown
    assert "decoding 1.5 s" in text(shown)
    assert "fine-tuning 2 min" in text(shown)
    assert "weights source &lt;b&gt;.h5" in text(shown)
    assert "onnx 2.0e-07" in shown


def test_confused_pairs_and_mistakes_have_their_pictures(page: Write) -> None:
    shown = page(*CATS)
    assert "2 of 10 <code>cat</code> pictures were taken for <code>dog</code>" in shown
    assert len(re.findall(r'<img src="data:image/jpeg;base64,', shown)) == 2 + 2
    assert 'alt="cat/9&lt;i&gt;.png: shows cat, classified as dog"' in shown
    assert "All wrong answers, the highest score first." in text(shown)


def test_no_mistakes_are_said(page: Write) -> None:
    shown = page([[1, 0], [0, 1]], ("a", "b"))
    assert "All test pictures are classified correctly" in shown
    assert "Wrong predictions with the highest scores" not in shown


def test_curves_mark_what_is_used(page: Write) -> None:
    shown = page(*CATS)
    assert shown.count('<svg class="chart"') == 4
    assert "C = 0.1 is best" in shown
    assert "epoch 1 is used" in shown
    head = page(
        *CATS, phases={"head": EPOCHS}, shipped={"phase": "head", "best_fine_tuning_epoch": 0}
    )
    assert "epoch 1 is used" in head
    assert head.count('<svg class="chart"') == 2


def test_uneven_classes_show_their_weight_and_its_effect(page: Write) -> None:
    assert "Classes of different size" not in page(*CATS)
    effect = {
        "cat": {"n": 4, "with_weights": 0.75, "without_weights": 0.5},
        "dog": {"n": 0, "with_weights": None, "without_weights": None},
    }
    shown = text(page(*CATS, balance=effect))
    assert "cat 50.0% 75.0% +25.0 4 7 1.50" in shown
    assert "dog – – – 0 7 1.50" in shown


def test_weakest_classes_come_first(page: Write) -> None:
    shown = page([[9, 1, 0], [5, 5, 0], [0, 0, 9]], ("a", "b", "c"))
    assert re.findall(r'<th scope="row"><span class="cut" title="(.)">', shown) == ["b", "a", "c"]


def test_of_many_classes_only_the_most_confused_are_in_the_matrix(page: Write) -> None:
    matrix = np.eye(40, dtype=int)
    matrix[7, 3] = matrix[7, 39] = 2
    shown = page(matrix.tolist(), tuple(f"c{at:02}" for at in range(40)))
    table = shown[shown.index('<table class="matrix"') :]
    table = table[: table.index("</table>")]
    assert table.count("<tr>") == 21
    assert all(f'title="{label}"' in table for label in ("c03", "c07", "c39"))
    assert "Only the 20 most confused of 40 classes are shown" in shown


class Strict(HTMLParser):
    """Collects unclosed tags, scripts, and attributes that refer to other files or pages."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        source = values.get("src", "data:")
        outside = {"href", "srcset", "action"} & set(values) or not source.startswith("data:")
        if (
            outside
            or tag in {"script", "i", "link", "iframe"}
            or any(k[:2] == "on" for k in values)
        ):
            self.bad.append(str(self.get_starttag_text()))
        if tag == "img" and not values.get("alt"):
            self.bad.append("picture without words")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and (not self.open or self.open.pop() != tag):
            self.bad.append(f"</{tag}>")


def test_hostile_names_are_only_text_and_the_page_needs_nothing_from_elsewhere(page: Write) -> None:
    names = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }} `x` &amp;")
    shown = page([[3, 2, 1], [1, 2, 0], [2, 0, 4]], names)
    parser = Strict()
    parser.feed(shown)
    assert parser.bad == []
    assert parser.open == []
    assert "url(" not in shown
    assert "http" not in shown
    assert "49" not in text(shown)


def test_a_page_with_all_its_pictures_stays_small(page: Write) -> None:
    shown = page(np.full((6, 6), 4).tolist(), tuple("abcdef"))
    assert shown.count("<img") == 5 * 6 + 24
    assert len(shown) < 1_000_000  # of noise, the worst a JPEG can meet


@pytest.mark.parametrize(("share", "text"), [(0.9333, "93.3%"), (1, "100.0%"), (None, "–")])
def test_percent(share: float | None, text: str) -> None:
    assert report.percent(share) == text
