from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from plugins.registry import resolve
from service.bundle.external_data import refers_to_external_data
from service.errors import GraftError, ParityError
from trainers.exporting import export
from trainers.exporting.formats import Source
from trainers.heads.head import build_head, fit_scaling
from trainers.model.classifier import Classifier, build_embedder, hash_weights
from trainers.model.conversion import OPSET

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    keras.utils.set_random_seed(1)
    backbone = resolve("tiny")
    body = backbone.load("none")
    embed = build_embedder(body)
    embeddings = np.asarray(embed(IMAGES.astype(np.float32), training=False))
    head = build_head(*fit_scaling(embeddings[:, None]), classes=4)
    head.set_weights([RNG.normal(size=weight.shape) for weight in head.get_weights()])
    return Classifier(backbone, body, embed, head, hash_weights(body))


@pytest.fixture(scope="module")
def folder(classifier: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    export.export(Source(classifier), folder)
    return folder


def test_the_onnx_has_the_names_types_and_dimensions_of_the_contract(folder: Path) -> None:
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (images,) = session.get_inputs()
    assert (images.name, images.type, images.shape) == (
        "images",
        "tensor(uint8)",
        ["batch", 32, 32, 3],
    )
    outputs = {output.name: (output.type, output.shape) for output in session.get_outputs()}
    assert outputs == {
        "probabilities": ("tensor(float)", ["batch", 4]),
        "embedding": ("tensor(float)", ["batch", 12]),
    }
    assert onnx.load(folder / "model.onnx").opset_import[0].version == OPSET
    assert not refers_to_external_data(folder / "model.onnx")


def test_all_formats_give_keras_outputs(classifier: Classifier, folder: Path) -> None:
    expected = classifier.build_model()(IMAGES.astype(np.float32), training=False)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    onnx_outputs = session.run(["probabilities", "embedding"], {"images": IMAGES})
    np.testing.assert_allclose(onnx_outputs[0], expected["probabilities"], atol=1e-5)
    np.testing.assert_allclose(onnx_outputs[1], expected["embedding"], atol=1e-5)
    signature = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_default"]
    saved_model_outputs = signature(images=tf.constant(IMAGES))
    np.testing.assert_allclose(
        saved_model_outputs["probabilities"], expected["probabilities"], atol=1e-5
    )
    np.testing.assert_allclose(saved_model_outputs["embedding"], expected["embedding"], atol=1e-5)


def test_parity_is_measured_on_all_formats_and_batch_sizes(
    classifier: Classifier, folder: Path
) -> None:
    parity = export.check_parity(Source(classifier), folder, IMAGES)
    assert parity["batch_sizes"] == [1, 3, 32]
    assert set(parity["max_difference"]) == {"onnx", "saved_model"}
    assert all(0 <= value < 1e-5 for value in parity["max_difference"].values())


def test_an_export_that_differs_is_refused(
    classifier: Classifier, folder: Path, tmp_path: Path
) -> None:
    model = onnx.load(folder / "model.onnx")
    weights = [tensor for tensor in model.graph.initializer if len(tensor.dims) == 4]
    values = onnx.numpy_helper.to_array(weights[0]) * 1.01
    weights[0].CopyFrom(onnx.numpy_helper.from_array(values, weights[0].name))
    onnx.save(model, tmp_path / "model.onnx")
    (tmp_path / "saved_model").symlink_to(folder / "saved_model")
    with pytest.raises(ParityError, match=r"onnx export differs from Keras: .*allowed: 0\.0001"):
        export.check_parity(Source(classifier), tmp_path, IMAGES)


def test_a_missing_package_is_an_error_that_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    export.require_packages(["keras", "litert", "openvino"])
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    export.require_packages(["onnx", "keras"])
    with pytest.raises(GraftError, match=r"--export litert needs .* pip install '\.\[litert\]'"):
        export.require_packages(["keras", "litert"])


def probabilities(*rows: list[float]) -> NDArray[np.float32]:
    return np.array(rows, np.float32)


@pytest.mark.parametrize(
    "exported",
    [
        [0.5002, 0.4998],  # the difference is too large
        [0.4999, 0.5001],  # and another class has the highest probability
        [float("nan"), 0.5],
    ],
)
def test_parity_allows_neither_large_differences_nor_nan(exported: list[float]) -> None:
    with pytest.raises(ParityError):
        export._difference("onnx", probabilities([0.50001, 0.49999]), probabilities(exported))


def test_classes_that_tie_may_change_places() -> None:
    """If two classes have copies of one picture, rounding decides which class comes first."""
    tied, rounded = probabilities([0.5, 0.5]), probabilities([0.49999997, 0.50000003])
    assert export._difference("onnx", tied, rounded) < 1e-7


def test_parity_counts_the_largest_difference() -> None:
    difference = export._difference(
        "onnx", probabilities([0.6, 0.4]), probabilities([0.60005, 0.39995])
    )
    assert difference == pytest.approx(5e-5, rel=1e-2)
