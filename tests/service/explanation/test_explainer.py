from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.engine.predictor import Predictor
from service.errors import BadParameter, BundleError, NotExplainable
from service.explanation.explainer import Explainer

IMAGE = np.zeros((32, 32, 3), np.uint8)
IMAGE[:, :16, 0] = 240  # the left half is red
IMAGE[:, 16:, 2] = 120  # the right half is blue


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Bundle) -> Predictor:
    return Predictor(tiny_bundle)


def test_the_predicted_class_is_explained(predictor: Predictor) -> None:
    probabilities = predictor.predict(IMAGE[np.newaxis])[0]
    explanation = Explainer(predictor).explain(IMAGE, probabilities)
    assert (explanation.label, explanation.score) == ("red", probabilities[0])
    np.testing.assert_allclose(explanation.heat_map[0], [1] * 16 + [0] * 16)
    assert explanation.draw().startswith(b"\x89PNG")


def test_any_class_can_be_explained(predictor: Predictor) -> None:
    probabilities = predictor.predict(IMAGE[np.newaxis])[0]
    explanation = Explainer(predictor).explain(IMAGE, probabilities, "blue")
    assert (explanation.label, explanation.score) == ("blue", probabilities[2])
    np.testing.assert_allclose(explanation.heat_map[0], [0] * 16 + [1] * 16)


def test_an_unknown_class_is_refused_with_the_closest_one(predictor: Predictor) -> None:
    explainer = Explainer(predictor)
    with pytest.raises(BadParameter, match="one of the model's 3 classes; did you mean `green`"):
        explainer.check("Grean")
    with pytest.raises(BadParameter, match="for example `red`"):
        explainer.explain(IMAGE, np.ones(3, np.float32), "")


def test_a_model_without_heat_maps_must_be_trained_again(staging: Path, manifest: Manifest) -> None:
    (staging / "heat_maps.onnx.part").unlink()
    bundle = seal(staging, manifest, staging.parent)
    shutil.copy(bundle.model_path, bundle.path / "heat_maps.onnx.part")  # no checksum covers it
    with pytest.raises(NotExplainable, match=r"no heat maps\. Either .* made it: train it again"):
        Explainer(Predictor(bundle)).check(None)


def test_operations_that_were_replaced_are_not_used(staging: Path, manifest: Manifest) -> None:
    bundle = seal(staging, manifest, staging.parent)
    explainer = Explainer(Predictor(bundle))
    (bundle.path / "heat_maps.onnx.part").write_bytes(b"")
    with pytest.raises(BundleError, match="replaced"):
        explainer.explain(IMAGE, np.ones(3, np.float32))
