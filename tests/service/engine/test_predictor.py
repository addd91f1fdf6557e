from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.engine.classification import Classification
from service.engine.predictor import Predictor
from service.errors import BundleError
from service.settings import Settings


@pytest.fixture
def predictor(tiny_bundle: Bundle) -> Predictor:
    return Predictor(tiny_bundle, threads=1)


def colours(*rows: tuple[int, int, int]) -> np.ndarray:
    return np.array(rows, np.uint8)[:, None, None] * np.ones((1, 32, 32, 1), np.uint8)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits)
    return powers / powers.sum(axis=-1, keepdims=True)


def test_classes_and_size_are_those_of_the_bundle(predictor: Predictor) -> None:
    assert predictor.classes == ("red", "green", "blue")
    assert predictor.image_size == 32


def test_batch_of_any_length_gives_one_row_of_probabilities_each(predictor: Predictor) -> None:
    pixels = [(255, 0, 0), (10, 20, 250), (90, 200, 30)]
    for length in (1, 2, 3):
        answers = predictor.predict(colours(*pixels[:length]))
        assert answers.shape == (length, 3)
        assert answers.dtype == np.float32
        expected = softmax(np.array(pixels[:length]) * 0.02)
        np.testing.assert_allclose(answers, expected, atol=1e-6)


def test_embedding_is_the_other_output(predictor: Predictor) -> None:
    np.testing.assert_allclose(predictor.embed(colours((1, 2, 3))), [[1, 2, 3]], atol=1e-5)


def test_rank_lists_the_best_classes_first(predictor: Predictor) -> None:
    probabilities = np.array([0.25, 0.125, 0.625], np.float32)
    assert predictor.rank(probabilities, 2) == [("blue", 0.625), ("red", 0.25)]
    assert [label for label, _ in predictor.rank(probabilities, 9)] == ["blue", "red", "green"]


def test_equal_probabilities_keep_the_order_of_the_classes(predictor: Predictor) -> None:
    equal = np.full(3, 1 / 3, np.float32)
    assert [label for label, _ in predictor.rank(equal, 3)] == ["red", "green", "blue"]


def change_gain(path: Path, gain: float) -> None:
    model = onnx.load(path)
    matrix = next(tensor for tensor in model.graph.initializer if tensor.name == "matrix")
    matrix.CopyFrom(
        numpy_helper.from_array(np.eye(3, dtype=np.float32) * np.float32(gain), "matrix")
    )
    onnx.save(model, path)


@pytest.mark.parametrize("gain", [0.01, float("nan")])
def test_model_with_other_answers_than_recorded_is_refused(
    staging: Path, manifest: Manifest, gain: float
) -> None:
    change_gain(staging / "model.onnx", gain)
    bundle = seal(staging, manifest, staging.parent)
    with pytest.raises(
        BundleError, match=r"does not reproduce its answer to golden picture red\.png"
    ) as caught:
        Predictor(bundle)
    assert str(bundle.path) in str(caught.value)
    assert "allowed: 0.001" in str(caught.value)


def test_differences_of_another_processor_are_allowed(staging: Path, manifest: Manifest) -> None:
    change_gain(staging / "model.onnx", 0.02001)  # moves the answers by 3e-5
    Predictor(seal(staging, manifest, staging.parent))


@pytest.mark.parametrize("length", [1, 4])
def test_recorded_answers_need_one_probability_per_class(
    staging: Path, manifest: Manifest, length: int
) -> None:
    """numpy would compare one number with three without an error."""
    (staging / "golden/answers.json").write_text(json.dumps({"red.png": [0.98] * length}))
    with pytest.raises(
        BundleError, match=rf"3 classes, .* returns 3 .* {length} are recorded for .* red\.png"
    ):
        Predictor(seal(staging, manifest, staging.parent))


def test_model_must_answer_one_probability_per_class(staging: Path, manifest: Manifest) -> None:
    two_classes = manifest.model_copy(update={"classes": ("red", "green")})
    with pytest.raises(BundleError, match="2 classes, but the model returns 3"):
        Predictor(seal(staging, two_classes, staging.parent))


def test_file_that_is_not_a_model_cannot_be_loaded(staging: Path, manifest: Manifest) -> None:
    (staging / "model.onnx").write_bytes(b"\x08\x07")  # well-formed, and empty
    with pytest.raises(BundleError, match=r"model\.onnx: ONNX Runtime cannot load"):
        Predictor(seal(staging, manifest, staging.parent))


def test_a_model_that_was_replaced_since_its_manifest_was_read_is_refused(
    bundle_copy: Path,
) -> None:
    """Its answers would get the class names of another model."""
    bundle = Bundle.read(bundle_copy)
    change_gain(bundle_copy / "model.onnx", 0.03)
    with pytest.raises(BundleError, match=r"model\.onnx was replaced"):
        Predictor(bundle)


def seal_with_scores(staging: Path, manifest: Manifest, scores: object) -> Bundle:
    (staging / "calibration.json").write_text(json.dumps({"true_scores": scores}))
    return seal(staging, manifest, staging.parent)


def test_the_set_has_the_labels_above_the_lowest_score(staging: Path, manifest: Manifest) -> None:
    predictor = Predictor(seal_with_scores(staging, manifest, [0.3] * 19))
    probabilities = np.array([0.3, 0.25, 0.45], np.float32)
    assert predictor.label_set(probabilities, 0.9) == ["blue", "red"]
    assert predictor.label_set(np.array([0.2, 0.1, 0.7], np.float32), 0.9) == ["blue"]
    assert predictor.label_set(probabilities, 0.99) is None  # too few pictures
    assert predictor.label_set(probabilities, 0) is None


def test_a_verdict_follows_the_settings(predictor: Predictor) -> None:
    classification = Classification(
        np.array([0.3, 0.25, 0.45], np.float32), np.ones(3, np.float32), novelty=0.5
    )
    verdict = predictor.judge(classification, Settings(top_k=2))
    assert [label for label, _ in verdict.ranking] == ["blue", "red"]
    assert (verdict.novelty, verdict.label_set) == (0.5, None)
    assert len(predictor.judge(classification, Settings(top_k=2), top_k=1).ranking) == 1
    assert predictor.judge(classification, Settings(novelty=False)).novelty is None


def test_all_outputs_of_a_batch_come_from_one_call(predictor: Predictor) -> None:
    size = predictor.image_size
    images = np.arange(2 * size * size * 3).reshape(2, size, size, 3).astype(np.uint8)
    outputs = predictor.run(images)
    np.testing.assert_array_equal(outputs.probabilities, predictor.predict(images))
    np.testing.assert_array_equal(outputs.embeddings, predictor.embed(images))
    results = predictor.classify(images)
    np.testing.assert_array_equal([row.probabilities for row in results], outputs.probabilities)


def test_a_bundle_without_scores_has_no_sets(predictor: Predictor) -> None:
    assert predictor.label_set(np.array([0.3, 0.25, 0.45], np.float32), 0.9) is None


@pytest.mark.parametrize("scores", ["many", [None], {"a": 1}])
def test_damaged_scores_are_refused(staging: Path, manifest: Manifest, scores: object) -> None:
    with pytest.raises(BundleError, match=r"(?s)calibration.json is damaged .*train"):
        Predictor(seal_with_scores(staging, manifest, scores))


def test_labels_reach_their_thresholds(
    predictor: Predictor, staging: Path, multi_label_manifest: Manifest
) -> None:
    several = Predictor(seal_with_scores(staging, multi_label_manifest, [0.3] * 19))
    probabilities = np.array([0.6, 0.003, 0.9], np.float32)
    assert [label for label, _ in several.labels(probabilities)] == ["blue", "red", "green"]
    assert several.labels(np.array([0.4, 0.001, 0.4], np.float32)) == []
    assert predictor.labels(probabilities) == [("blue", pytest.approx(0.9))]
    verdict = several.judge(Classification(probabilities, np.ones(3, np.float32)), Settings())
    assert verdict.labels == several.labels(probabilities)
    assert verdict.ranking[0][0] == "blue"


def test_the_set_of_several_labels_may_be_empty(
    staging: Path, multi_label_manifest: Manifest
) -> None:
    predictor = Predictor(seal_with_scores(staging, multi_label_manifest, [0.3] * 19))
    assert predictor.label_set(np.array([0.3, 0.9, 0.2], np.float32), 0.9) == ["green", "red"]
    assert predictor.label_set(np.array([0.2, 0.001, 0.2], np.float32), 0.9) == []


def test_the_set_of_several_labels_contains_those_of_the_answer(
    staging: Path, multi_label_manifest: Manifest
) -> None:
    predictor = Predictor(seal_with_scores(staging, multi_label_manifest, [0.99] * 19))
    answer = np.array([0.3, 0.97, 0.98], np.float32)
    assert predictor.label_set(answer, 0.9) == [label for label, _ in predictor.labels(answer)]
