"""Checks of training find broken backbones and say what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from tests.trainers.conformance.conftest import LastResult, Sound


def test_unfrozen_normalisation_is_found(last_result: LastResult) -> None:
    class Unfreezes(Sound):
        def fine_tune(self, model: Any, layers: int) -> Any:
            model.trainable = True
            return [layer for layer in model.layers if layer.trainable_weights][-layers:]

    result = last_result(Unfreezes(), "fine-tuning")
    assert "FAIL fine-tuning: fine_tune() unfreezes BatchNormalization (norm)" in result
    result = last_result(Unfreezes(), "fine-tuning", "training")
    assert (
        "FAIL training: training changes the statistics of BatchNormalization (norm/mov" in result
    )


def test_statistics_that_change_in_a_frozen_layer_are_found(last_result: LastResult) -> None:
    class AlwaysUpdates(keras.layers.BatchNormalization):
        """Updates its mean whatever `trainable` and `training` say."""

        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            self.moving_mean.assign(self.moving_mean * 0.9 + 0.1)
            return super().call(inputs, training=training, mask=mask)

    class Updates(Sound):
        def middle(self, maps: Any) -> Any:
            return AlwaysUpdates(name="updates")(maps)

    for promises in (["freezing"], ["fine-tuning", "training"]):
        result = last_result(Updates(), *promises)
        assert (
            "training changes the statistics of BatchNormalization (updates/moving_mean)" in result
        )


def test_overridden_freezing_and_fine_tuning_are_compared(last_result: LastResult) -> None:
    class NeverFreezes(Sound):
        def freeze(self, model: Any) -> None:
            pass

    class UnfreezesOne(Sound):
        def fine_tune(self, model: Any, layers: int) -> Any:
            return super().fine_tune(model, 1)

    assert "these weights are still trainable: first/kernel, " in last_result(
        NeverFreezes(), "freezing"
    )
    assert "the last 5 layers with weights are first, last" in last_result(
        UnfreezesOne(), "fine-tuning"
    )


def test_a_file_that_is_loaded_with_other_values_is_found(last_result: LastResult) -> None:
    class Doubles(Sound):
        def load_file(self, network: Any, path: Path) -> None:
            super().load_file(network, path)
            last = network.layers[-1]
            last.set_weights([weight * 2 for weight in last.get_weights()])

    assert (
        "after its weights were saved to a file and loaded, the network gives different feature"
        in last_result(Doubles(), "weights file")
    )
