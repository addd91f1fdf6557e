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
from trainers.dataset.decoded_images import Images
from trainers.dataset.inspection import INSPECTION
from trainers.evaluation.calibration import evaluate_calibration
from trainers.evaluation.metrics import evaluate
from trainers.evaluation.predictions import Predictions
from trainers.reporting import report

Write = Callable[..., str]
LINEAR = [{"C": c, "val_loss": loss, "val_accuracy": 0.8} for c, loss in ((0.01, 0.9), (0.1, 0.5))]
EPOCHS = [
    {"loss": 1.0, "accuracy": 0.7, "val_loss": 2.0, "val_accuracy": 0.6},
    {"loss": 0.5, "accuracy": 0.8, "val_loss": None, "val_accuracy": 0.7},
]
VOID = {"meta", "img", "rect", "line", "circle", "polyline", "br"}


POINTS = [
    {"pictures": 10 * 2**step, "accuracy": 0.7 + 0.05 * step, "low": 0.6, "high": 0.9}
    for step in range(4)
]
CURVE = {
    "summary": "With twice as many pictures, about 88% would be right.",
    "points": POINTS[:3],
    "now": POINTS[2],
    "twice": POINTS[3],
}


def suspects(dataset: Dataset, count: int = 1, **changes: Any) -> dict[str, Any]:
    """The first pictures of a dataset as suspects, as in metrics.json."""
    pictures = [
        {
            "path": path,
            "label": dataset.classes[label],
            "suggested_label": dataset.classes[label - 1],
            "suggested_score": 0.75,
        }
        for path, label in zip(dataset.paths[:count], dataset.labels, strict=False)
    ]
    counts = {"count": 31, "examined": 1200, "reason": ""}
    return {**counts, "pictures": pictures, **changes}


@pytest.fixture
def page(tmp_path: Path) -> Write:
    """Write the page for a confusion matrix of the test; other metrics can be given by name."""

    def write(
        matrix: list[list[int]], classes: tuple[str, ...], source: str = "", **changes: Any
    ) -> str:
        pairs = [
            (actual, predicted)
            for actual, row in enumerate(matrix)
            for predicted, count in enumerate(row)
            for _ in range(count)
        ]
        labels, predicted = np.array(pairs).T
        count = len(pairs)
        noise = np.random.default_rng(0).integers(0, 256, (count, 128, 128, 3), np.uint8)
        dataset = Dataset(
            folder=Path("pets"),
            classes=classes,
            paths=tuple(f"{classes[label]}/{row}<i>.png" for row, label in enumerate(labels)),
            labels=labels,
            splits=("test",) * count,
            digests=("00" * 32,) * count,
            inspections=np.zeros(count, INSPECTION),
            duplicate_groups=np.arange(count),
            fingerprint="",
            left_out=(),
            images=Images.from_array(noise),
        )
        scores = np.linspace(0.3, 0.9, count, dtype=np.float32)
        probabilities = np.zeros((count, len(classes)), np.float32)
        probabilities[np.arange(count), predicted] = scores
        predictions = Predictions(np.arange(count), labels, probabilities)
        test = evaluate(predictions, dataset)
        metrics = {
            "test": test,
            "validation": test,
            "calibration": evaluate_calibration(predictions, predictions, 0.5),
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
            "shipped": {
                "phase": "fine-tuning",
                "best_fine_tuning_epoch": 1,
                "is_refitted": False,
            },
            "left_out": [{"path": "a/<b>.txt", "reason": "no picture", "kind": "", "place": ""}],
            "findings": [{"severity": "warning", "message": "2 classes: `<b>` is small"}],
            "seconds": {"decoding": 1.5, "fine-tuning": 120.0},
            "suspects": suspects(dataset),
            "learning_curve": CURVE,
            **changes,
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


def page_text(html: str) -> str:
    """The text of the page, without markup and with single spaces."""
    body = html[html.index("<body>") :]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


CATS = ([[8, 2], [0, 10]], ("cat", "dog"))


def test_the_first_line_warns_about_drawn_pictures(page: Write) -> None:
    html = page(*CATS, source="drawn sample pictures")
    assert page_text(html).lstrip().startswith("Trained on drawn sample pictures, not on yours.")
    assert "<title>leaves: 90.0% on drawn sample pictures</title>" in html
    assert "drawn" not in page(*CATS)


def test_the_headline_says_what_the_accuracy_means(page: Write) -> None:
    html = page_text(page(*CATS))
    assert (
        "90.0% test accuracy: this share of the 20 test pictures is classified correctly." in html
    )
    assert "about 90 correct answers" in html
    assert "anything from 70 to 97 (95% confidence interval 69.9% to 97.2%)" in html
    assert "accuracy of always answering the most common class 50.0%" in html


def test_the_page_shows_decisions_findings_skipped_files_and_times(page: Write) -> None:
    html = page(*CATS)
    assert "The <code>&lt;b&gt;</code> head is solved." in html
    assert "<strong>The model is the result of fine-tuning.</strong>" in html
    flip = '(<code class="option">--flip</code>)'
    assert f"Mirrored views {flip}: none, by cross-validation on 40 pictures." in html
    assert "chosen by cross-validation in 5 folds" in html
    assert "cross-validated accuracy of the head 62.5%" in page_text(html)
    assert "<b>Warning:</b> 2 classes: <code>&lt;b&gt;</code> is small." in html
    assert "a/&lt;b&gt;.txt: no picture" in html
    assert "decoding 1.5 s" in page_text(html)
    assert "fine-tuning 2 min" in page_text(html)
    assert "weights source &lt;b&gt;.h5" in page_text(html)
    assert "onnx 2.0e-07" in html


def test_confused_pairs_and_mistakes_have_their_pictures(page: Write) -> None:
    html = page(*CATS)
    assert "2 of 10 <code>cat</code> pictures were classified as <code>dog</code>" in html
    assert len(re.findall(r'<img src="data:image/jpeg;base64,', html)) == 2 + 2 * 2 + 1 + 2 + 2 * 4
    assert 'alt="cat/9&lt;i&gt;.png: shows cat, classified as dog"' in html
    assert "All wrong answers, the highest score first." in page_text(html)


def test_a_page_without_mistakes_says_so(page: Write) -> None:
    html = page([[1, 0], [0, 1]], ("a", "b"))
    assert "All test pictures are classified correctly" in html
    assert "Wrong predictions with the highest scores" not in html


def test_curves_mark_the_penalty_and_epoch_that_are_used(page: Write) -> None:
    html = page(*CATS)
    assert html.count('<svg class="chart"') == 4 + 1
    assert "C = 0.1 has the lowest loss" in html
    assert "epoch 1 is used" in html
    shipped = {"phase": "head", "best_fine_tuning_epoch": 0, "is_refitted": False}
    head = page(*CATS, phases={"head": EPOCHS}, shipped=shipped)
    assert "epoch 1 is used" in head
    assert head.count('<svg class="chart"') == 2 + 1


def test_uneven_classes_show_their_weight_and_its_effect(page: Write) -> None:
    assert "Classes of different size" not in page(*CATS)
    effect = {
        "cat": {"n": 4, "with_weights": 0.75, "without_weights": 0.5},
        "dog": {"n": 0, "with_weights": None, "without_weights": None},
    }
    html = page_text(page(*CATS, balance=effect))
    assert "cat 50.0% 75.0% +25.0 4 7 1.50" in html
    assert "dog – – – 0 7 1.50" in html


def test_weakest_classes_come_first(page: Write) -> None:
    html = page([[9, 1, 0], [5, 5, 0], [0, 0, 9]], ("a", "b", "c"))
    table = html[: html.index('<table class="matrix')]
    assert re.findall(r'<th scope="row"><span class="cut" title="(.)">', table) == ["b", "a", "c"]


def test_of_many_classes_only_the_most_confused_are_in_the_matrix(page: Write) -> None:
    matrix = np.eye(40, dtype=int)
    matrix[7, 3] = matrix[7, 39] = 2
    html = page(matrix.tolist(), tuple(f"c{number:02}" for number in range(40)))
    table = html[html.index('<table class="matrix') :]
    table = table[: table.index("</table>")]
    assert table.count("<tr>") == 21
    assert all(f'title="{label}"' in table for label in ("c03", "c07", "c39"))
    assert "Only the 20 most confused of 40 classes are shown" in html


class StrictParser(HTMLParser):
    """Collects unclosed tags, scripts, and attributes that refer to other files or pages."""

    def __init__(self) -> None:
        super().__init__()
        self.open_tags: list[str] = []
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        source = values.get("src", "data:")
        outside = {"href", "srcset", "action"} & set(values) or not source.startswith("data:")
        if (
            outside
            or tag in {"script", "i", "link", "iframe"}
            or any(name[:2] == "on" for name in values)
        ):
            self.problems.append(str(self.get_starttag_text()))
        if tag == "img" and not values.get("alt"):
            self.problems.append("picture without alternative text")
        if tag not in VOID:
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and (not self.open_tags or self.open_tags.pop() != tag):
            self.problems.append(f"</{tag}>")


def test_hostile_names_are_only_text_and_the_page_loads_nothing(page: Write) -> None:
    names = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }} `x` &amp;")
    html = page([[3, 2, 1], [1, 2, 0], [2, 0, 4]], names)
    parser = StrictParser()
    parser.feed(html)
    assert parser.problems == []
    assert parser.open_tags == []
    assert "url(" not in html
    assert "http" not in html
    assert "49" not in page_text(html)


def test_a_page_with_all_its_pictures_stays_small(page: Write) -> None:
    html = page(np.full((6, 6), 4).tolist(), tuple("abcdef"))
    assert html.count("<img") == 5 * (6 + 4) + 1 + 24 + 6 * 4
    assert len(html) < 1_200_000  # the pictures are noise, the worst case for JPEG


@pytest.mark.parametrize(("share", "text"), [(0.9333, "93.3%"), (1, "100.0%"), (None, "–")])
def test_percent(share: float | None, text: str) -> None:
    assert report.percent(share) == text


def test_what_a_colleague_needs_comes_before_the_technical_details(page: Write) -> None:
    html = page(*CATS)
    names = re.findall(r'<section aria-labelledby="(\w+)"|<h2 class="divider">(\w+)', html)
    order = [first or second for first, second in names]
    assert order[:7] == ["pairs", "next", "mistakes", "scores", "classes", "right", "matrix"]
    assert order.index("pictures") < order.index("Technical") < order.index("choice")
    assert order[-1] == "provenance"


def test_options_do_not_break_at_their_hyphens() -> None:
    text = report.code("use `a` or a smaller --image-size (--flip); not <b>--</b>")
    assert '<code class="option">--image-size</code>' in text
    assert '(<code class="option">--flip</code>)' in text
    assert "<code>a</code>" in text
    assert "&lt;b&gt;--&lt;/b&gt;" in text


def test_scores_are_explained_by_a_table_and_a_plot(page: Write) -> None:
    html = page(*CATS)
    section = html[html.index('aria-labelledby="scores"') :]
    assert "at least 99%" in section
    assert "below 50%" in section
    assert "a temperature of 0.50, fitted on 20 validation pictures" in section
    assert 'class="chart reliability"' in section
    assert "trained once more" not in html


def test_a_head_that_was_trained_once_more_is_explained(page: Write) -> None:
    shipped = {"phase": "head", "best_fine_tuning_epoch": 0, "is_refitted": True}
    text = page_text(page(*CATS, shipped=shipped))
    assert "accuracy in cross-validation" in text
    assert "fitted on 20 pictures that were held out in cross-validation" in text
    assert "the head was trained once more" in text


def test_what_to_do_next_has_suspects_a_curve_and_a_command(page: Write) -> None:
    html = page(*CATS)
    section = html[html.index('aria-labelledby="next"') : html.index('aria-labelledby="mistakes"')]
    text = page_text(f"<body>{section}")
    assert "31 of 1,200 pictures may have wrong labels." in text
    assert "lists all 31, 1 are shown" in text
    assert "75.0% dog labelled cat 0&lt;i&gt;.png" in text
    assert "With twice as many pictures, about 88% would be right." in text
    assert 'class="chart"' in section
    command = r"-m service\.predict --bundle leaves:latest --csv answers\.csv YOUR_FOLDER"
    assert re.search(command, text)
    assert "several labels in the column set" in text


def test_what_is_unknown_is_said(page: Write) -> None:
    nothing = {"count": 0, "examined": 0, "pictures": []}
    unknown = {"summary": "It is unknown, because.", "points": [], "now": None, "twice": None}
    html = page(*CATS, suspects={**nothing, "reason": "it rains"}, learning_curve=unknown)
    assert "The labels were not examined, because it rains." in page_text(html)
    assert "It is unknown, because." in page_text(html)
    assert html.count('<svg class="chart"') == 4
    found_nothing = page(*CATS, suspects={**nothing, "examined": 1200, "reason": ""})
    assert "None of the 1,200 labels that were examined looks wrong." in page_text(found_nothing)


def test_long_names_are_shortened_in_the_middle(page: Write) -> None:
    names = (f"Tomato___{'Yellow_' * 6}Virus_1", f"Tomato___{'Yellow_' * 6}Virus_2")
    html = page(CATS[0], names)
    assert "Tomato___Ye…llow_Virus_1 and Tomato___Ye…llow_Virus_2" in page_text(html)
    assert f'title="{names[0]}"' in html
    assert "<code>Tomato___Ye…llow_Virus_1</code>" in html
    assert report.shorten("x" * report.MAX_NAME) == "x" * report.MAX_NAME
    assert len(report.shorten("x" * 60)) == report.MAX_NAME


def test_thumbnails_are_shown_as_the_model_gets_the_pictures(page: Write) -> None:
    """Without `height: auto`, wide cells would crop the square thumbnails."""
    (style,) = re.findall(r"\.shots img {([^}]*)}", page(*CATS))
    assert "height: auto" in style
    assert "object-fit" not in style


def test_the_folds_of_cross_validation_are_shown_if_there_are_any(page: Write) -> None:
    fold = {"n": 10, "train": 8, "validation": 2, "log_loss": 0.25, "phase": "fine-tuning"}
    figures = {
        **{"k": 2, "n": 1020, "not_tested": 3, "accuracy": 0.85, "accuracy_std": 0.071},
        **{"accuracy_interval": (0.4, 1.0), "log_loss": 0.25, "log_loss_std": 0.0},
        "folds": [{**fold, "accuracy": 0.8}, {**fold, "accuracy": 0.9}],
    }
    text = page_text(page(*CATS, folds=figures))
    assert "Cross-validation in 2 folds" in text
    assert "Mean test accuracy 85.0% , 95% confidence interval 40.0% to 100.0%" in text
    assert "standard deviation of the folds 7.1 points" in text
    assert "1,020 pictures were tested, each once; 3 were not" in text
    assert "90.0% 0.250 fine-tuning 10 2 8" in text
    assert "Cross-validation in" not in page_text(page(*CATS, folds=None))


def test_a_file_that_was_left_out_has_its_line_in_the_table(page: Write) -> None:
    file = {"path": "1.jpg", "reason": "has no label", "kind": "", "place": "labels.csv, line 5"}
    text = page_text(page(*CATS, left_out=[file, {**file, "path": "2.jpg", "place": ""}]))
    assert "1.jpg: has no label (labels.csv, line 5) 2.jpg: has no label " in text
    assert "()" not in text
