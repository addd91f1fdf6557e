"""The first check, that a backbone can be loaded; any exception of a check is a broken promise."""

from __future__ import annotations

from typing import Any

import keras

from tests.trainers.conformance.conftest import LastResult, Sound
from trainers.conformance.trial import Result


def test_a_fixed_batch_size_is_found(last_result: LastResult) -> None:
    class Fixed(Sound):
        def middle(self, maps: Any) -> Any:
            return keras.ops.reshape(maps, (8, 16, 16, 8))

    result = last_result(Fixed())
    assert result.startswith("FAIL builds: the network returns (8, 7, 7, 8) instead of")
    assert "any Reshape that fixes the batch size" in result


def test_pooled_features_and_a_wrong_input_are_found(last_result: LastResult) -> None:
    class Pooled(Sound):
        def build(self, weights: str | None, image_size: int) -> Any:
            network = super().build(weights, image_size)
            pooled = keras.layers.GlobalAveragePooling2D()(network.output)
            return keras.Model(network.input, pooled)

    class OtherSize(Sound):
        def load(self, weights: str | None = None, image_size: int | None = None) -> Any:
            return super().load(weights, 48)

    assert "FAIL builds: the network returns (None, 8)" in last_result(Pooled())
    assert "load() returned a network with input (None, 48, 48, 3)" in last_result(OtherSize())


def test_an_error_of_the_backbone_is_a_broken_promise(last_result: LastResult) -> None:
    class Raises(Sound):
        def build(self, weights: str | None, image_size: int) -> Any:
            raise KeyError("widths")

    assert last_result(Raises()) == "FAIL builds: KeyError: 'widths'"


def test_a_result_is_printed_as_a_line() -> None:
    assert str(Result("scaling", True, "fine")) == "ok   scaling: fine"
