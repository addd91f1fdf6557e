"""Training from a table with several labels to the answers of the service."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest

from service import load
from service.bundle.reading import Bundle
from trainers import train
from trainers.demo import serve
from trainers.evaluate import evaluate
from trainers.multi_label import bundle_writer, training
from trainers.phases.context import TrainingContext
from trainers.progress import Progress

DrawTable = Callable[..., Path]
Start = Callable[..., TrainingContext]


@pytest.mark.slow
def test_served_labels_have_the_measured_figures(tmp_path: Path, draw_table: DrawTable) -> None:
    table = draw_table(tmp_path / "pictures", 240)
    result = train("pocket", table, task="multi-label", output=tmp_path / "out", name="colours")
    test, per_class = result.metrics["test"], result.metrics["test"]["per_class"]
    assert min(figures["f1"] for figures in per_class.values()) >= 0.9
    assert test["macro_f1"] == pytest.approx(np.mean([row["f1"] for row in per_class.values()]))

    with (result.bundle / "split.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    pictures = [(table.parent / row["path"]).read_bytes() for row in rows]
    with serve(result.bundle) as address, httpx.Client(base_url=address, timeout=30) as client:
        answers = [client.post("/predict", files={"image": picture}).json() for picture in pictures]
        model = client.get("/model").json()
        explained = client.post("/explain", files={"image": pictures[0]}).json()
    truth = [set(row["class"].split("|")) - {""} for row in rows]
    found = [{label["label"] for label in answer["labels"]} for answer in answers]
    assert set() in truth  # a picture may have no label
    for label, figures in per_class.items():
        hits = sum(label in one and label in other for one, other in zip(truth, found, strict=True))
        answered, support = (sum(label in labels for labels in part) for part in (found, truth))
        assert figures["precision"] == pytest.approx(hits / answered)
        assert figures["recall"] == pytest.approx(hits / support)
    assert test["accuracy"] == np.mean(
        [one == other for one, other in zip(truth, found, strict=True)]
    )
    assert all(answer["label"] == answer["top"][0]["label"] for answer in answers)
    covered = [
        len(one & set(a["set"])) / len(one) for one, a in zip(truth, answers, strict=True) if one
    ]
    sets = result.metrics["calibration"]["sets"]
    assert np.mean(covered) == pytest.approx(sets["coverage"])
    assert (model["task"], set(model["decision"]["thresholds"])) == ("multi-label", set(per_class))
    assert explained["label"] == answers[0]["label"]
    page = result.report.read_text()
    assert "Labels that occur together" in page
    assert "Check these labels" in page
    assert result.metrics["suspects"]["examined"] == 240
    assert "multi-label image classifier" in (result.bundle / "README.md").read_text()
    prediction = load(result.bundle).predict(table.parent / rows[0]["path"])
    assert {score.label for score in prediction.labels or ()} == found[0]
    assert not (result.bundle / "drift.npz").exists()
    assert Bundle.read(result.bundle).manifest.is_multi_label
    assert json.loads((result.bundle / "config.json").read_text())["task"] == "multi-label"

    evaluated = evaluate(str(result.bundle), table, tmp_path / "out", Progress(is_quiet=True))
    figures = json.loads(Path(evaluated["page"]).with_name("metrics.json").read_text())
    expected = result.metrics
    assert figures["test"].keys() == expected["test"].keys()
    for name, value in expected["test"].items():
        if name == "log_loss":  # the batches differ, and so does the rounding
            assert figures["test"][name] == pytest.approx(value, abs=1e-5)
        elif name == "mistakes":
            found = [mistake["path"] for mistake in figures["test"][name]]
            assert found == [mistake["path"] for mistake in value]
        else:
            assert figures["test"][name] == value, name
    assert figures["seen"] == 240 - len(rows)
    assert figures["calibration"]["sets"] == expected["calibration"]["sets"]
    assert figures["calibration"]["error"] == pytest.approx(
        expected["calibration"]["error"], abs=1e-5
    )


@pytest.mark.slow
def test_a_fine_tuned_network_is_exported_if_it_ranks_better(start: Start, tmp_path: Path) -> None:
    context = start(160, strategy="fine-tune", fine_tune_epochs=20, fine_tune_learning_rate=0.01)
    trained = training.train(context)

    assert "fine-tuning raised the mean average precision" in trained.decision
    work = tmp_path / "work-bundle"
    for folder in (work, context.config.output):
        folder.mkdir(exist_ok=True)
    config, silent = context.config, Progress(is_quiet=True)
    bundle, metrics = bundle_writer.write_bundle(trained, context.dataset, [], config, work, silent)
    assert metrics["shipped"]["phase"] == "fine-tuning"
    assert metrics["decision"] == trained.decision
    assert metrics["validation"]["n"] == len(context.dataset.rows("validation"))
    assert metrics["validation"]["mean_average_precision"] == pytest.approx(
        trained.selected.result.score, abs=0.01
    )
    assert metrics["fidelity"]["loss_difference"]["mean_of_pictures"] < 1e-4
    assert "Training curves" in (bundle.path / "report.html").read_text()
    assert "whose last layers were fine-tuned" in (bundle.path / "README.md").read_text()


def test_headline_metrics_leave_out_what_is_unknown() -> None:
    test = {"accuracy": 1.0, "n": 3, "accuracy_interval": (0.4, 1.0), "majority_share": 1.0}
    unknown = dict.fromkeys(("macro_f1", "micro_f1", "mean_average_precision"))
    calibration = {"error": 0.1, "temperature": 1.0}
    metrics = {"test": {**test, **unknown}, "calibration": calibration}
    assert "test_macro_f1" not in bundle_writer._headline_metrics(metrics)
