from __future__ import annotations

import numpy as np
import pytest

from service.bundle.reading import Bundle
from service.errors import BundleError
from service.explanation.heat_maps import HeatMapModel, normalize


def test_the_bytes_of_both_files_are_a_model_with_heat_maps(tiny_bundle: Bundle) -> None:
    model, operations = (
        tiny_bundle.content(name) for name in ("model.onnx", "heat_maps.onnx.part")
    )
    image = np.zeros((32, 32, 3), np.uint8)
    image[:8, :, 1] = 200  # the upper quarter is green
    evidence = HeatMapModel(model, operations).run(image)
    np.testing.assert_allclose(evidence.embedding, [0, 50, 0], atol=1e-4)
    assert evidence.heat_maps.shape == (32, 32, 3)
    np.testing.assert_allclose(evidence.heat_maps[:, 0, 1], [4] * 8 + [0] * 24, atol=1e-6)
    assert not evidence.heat_maps[..., 0].any()


def test_operations_of_another_model_are_refused(tiny_bundle: Bundle) -> None:
    operations = tiny_bundle.content("heat_maps.onnx.part").replace(b"nhwc", b"nope")
    with pytest.raises(BundleError, match="ONNX Runtime cannot load the model"):
        HeatMapModel(tiny_bundle.content("model.onnx"), operations)


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        ([[-2, 0], [1, 4]], [[0, 0], [0.25, 1]]),
        ([[-2, -1]], [[0, 0]]),  # no region speaks for the class: 0 / 0 would be NaN
        ([[0, 1e-30]], [[0, 1]]),
    ],
)
def test_values_are_from_0_to_1(evidence: list[list[float]], expected: list[list[float]]) -> None:
    normal = normalize(np.array(evidence, np.float32))
    np.testing.assert_array_equal(normal, np.array(expected, np.float32))
    assert normal.dtype == np.float32
