"""Answers of the Open Inference Protocol, without a server."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from service.bundle.manifest import Manifest
from service.oip.request import HEADER_LENGTH, ParsedRequest
from service.oip.response import metadata, serialise

PROBABILITIES = np.array([[0.25, 0.5, 0.25], [0.75, 0.125, 0.125]], np.float32)


def answer(outputs: dict[str, bool], manifest: Manifest, identity: str | None = None) -> Any:
    return serialise(ParsedRequest(identity, [], outputs), manifest, PROBABILITIES)


def test_an_answer_in_json(manifest: Manifest) -> None:
    body, headers = answer({"probabilities": False, "label": False}, manifest, "\u00fc-7")
    assert headers == {"Content-Type": "application/json"}
    assert json.loads(body) == {
        "model_name": "tiny",
        "model_version": manifest.version,
        "id": "\u00fc-7",
        "outputs": [
            {
                "name": "probabilities",
                "datatype": "FP32",
                "shape": [2, 3],
                "data": PROBABILITIES.ravel().tolist(),
            },
            {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["green", "red"]},
        ],
    }


def test_an_answer_in_binary(manifest: Manifest) -> None:
    body, headers = answer({"label": True, "probabilities": True}, manifest)
    assert headers["Content-Type"] == "application/octet-stream"
    end = int(headers[HEADER_LENGTH])
    content = json.loads(body[:end])
    assert "id" not in content
    sizes = [output["parameters"]["binary_data_size"] for output in content["outputs"]]
    assert sizes == [4 + 5 + 4 + 3, 24]
    assert not any("data" in output for output in content["outputs"])
    assert body[end:] == b"\5\0\0\0green\3\0\0\0red" + PROBABILITIES.tobytes()


def test_an_answer_in_json_and_binary(manifest: Manifest) -> None:
    body, headers = answer({"probabilities": True, "label": False}, manifest)
    end = int(headers[HEADER_LENGTH])
    probabilities, label = json.loads(body[:end])["outputs"]
    assert probabilities["parameters"] == {"binary_data_size": 24}
    assert label["data"] == ["green", "red"]
    assert np.array_equal(np.frombuffer(body[end:], "<f4"), PROBABILITIES.ravel())


def test_top_k_returns_the_best_classes_in_order(manifest: Manifest) -> None:
    outputs = {"probabilities": False, "label": False}
    body, _ = serialise(ParsedRequest(None, [], outputs), manifest, PROBABILITIES, top_k=2)
    probabilities, label = json.loads(body)["outputs"]
    assert probabilities["shape"] == label["shape"] == [2, 2]
    rows = [sorted(row, reverse=True)[:2] for row in PROBABILITIES.tolist()]
    assert probabilities["data"] == [value for row in rows for value in row]
    best = [manifest.classes[index] for index in np.argsort(-PROBABILITIES, axis=1)[:, :2].ravel()]
    assert label["data"] == best
    assert best[::2] == ["green", "red"]


def test_json_keeps_every_bit_of_a_probability(manifest: Manifest) -> None:
    probabilities = np.random.default_rng(0).random((50, 3), np.float32)
    body, _ = serialise(ParsedRequest(None, [], {"probabilities": False}), manifest, probabilities)
    read_back = np.array(json.loads(body)["outputs"][0]["data"], np.float32).reshape(50, 3)
    assert read_back.tobytes() == probabilities.tobytes()


def test_metadata_declares_the_models_input_and_describes_files(
    manifest: Manifest,
) -> None:
    content = metadata(manifest, 32)
    assert content["name"] == "tiny"
    assert content["versions"] == [manifest.version]
    assert content["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, 32, 32, 3]}]
    assert {out["name"]: out["shape"] for out in content["outputs"]} == {
        "probabilities": [-1, 3],
        "label": [-1],
    }
    assert "BYTES of shape [N]" in content["parameters"]["images"]
    assert json.loads(content["parameters"]["classes"]) == list(manifest.classes)
    assert "thresholds" not in content["parameters"]
    allowed = (str, int, float, bool)
    assert all(isinstance(value, allowed) for value in content["parameters"].values())


def test_metadata_of_a_multi_label_model_has_the_thresholds(multi_label_manifest: Manifest) -> None:
    thresholds = json.loads(metadata(multi_label_manifest, 32)["parameters"]["thresholds"])
    assert thresholds == {"red": 0.5, "green": 0.002, "blue": 0.5}
