"""Training and serving with real input: photos of flowers and ImageNet weights."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import httpx
import numpy as np
import pytest
import tensorflow as tf

from service.imaging import decode
from trainers.demo import serve
from trainers.run import main

WEIGHTS = "weights/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"


@pytest.mark.real
@pytest.mark.slow
def test_served_accuracy_on_flowers_is_the_measured_one(
    shared: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = shared / "data/flowers"
    arguments = ["--plugin", "mobilenet:v2-0.35", "--weights", str(shared / WEIGHTS)]
    arguments += ["--data", str(folder), "--output", str(tmp_path), "--json", "--quiet"]
    # The defaults take several times as long.
    arguments += ["--fine-tune-epochs", "1", "--flip", "horizontal"]
    assert main([*arguments, "--name", "flowers"]) == 0
    result = json.loads(capsys.readouterr().out)
    # The accuracy on a split of 150 pictures is 0.88 +- 0.05; chance would be 0.2.
    assert result["test_accuracy"] > 0.8
    bundle = Path(result["bundle"])
    metrics = json.loads((bundle / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] == result["test_accuracy"]

    with (bundle / "split.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    pictures = [(folder / row["path"]).read_bytes() for row in rows]
    monkeypatch.setenv("GRAFT_MODEL", "overruled by the bundle that is served")
    with serve(bundle) as address, httpx.Client(base_url=address, timeout=30) as client:
        responses = [client.post("/predict", files={"image": picture}) for picture in pictures]
    assert {response.status_code for response in responses} == {200}
    answers = [response.json() for response in responses]
    correct_count = sum(
        answer["label"] == row["class"] for answer, row in zip(answers, rows, strict=True)
    )
    assert correct_count / len(rows) == result["test_accuracy"]

    # TensorFlow's answers for each picture: the same class, and probabilities within 1e-4.
    model = tf.saved_model.load(str(bundle / "saved_model")).signatures["serving_default"]
    images = np.stack([decode(picture, 224) for picture in pictures])
    expected = model(images=tf.constant(images))["probabilities"].numpy()
    classes = json.loads((bundle / "manifest.json").read_text())["classes"]
    for answer, probabilities in zip(answers, expected, strict=True):
        assert answer["label"] == classes[probabilities.argmax()]
        scores = {entry["label"]: entry["score"] for entry in answer["top"]}
        np.testing.assert_allclose([scores[label] for label in classes], probabilities, atol=1e-4)
