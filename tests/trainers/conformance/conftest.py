"""A backbone that keeps every promise, and a fixture that checks promises of other backbones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from plugins.base import Backbone, Variant
from plugins.scaling import to_unit_range
from trainers.conformance.checking import PROMISES
from trainers.conformance.trial import try_promises

FAMILIES_OF_MAKE_TEST = ("pocket", "mobilenet", "efficientnet")
"""The families that `make test` checks, of efficientnet only its copies. Together they have every
kind of layer that needs care. `make test-families` checks the others."""

LastResult = Callable[..., str]


def smallest_mark(family: str) -> pytest.MarkDecorator:
    """The mark of a test of the smallest backbone of a family; NASNet's has a thousand layers."""
    if family == "nasnet":
        return pytest.mark.large
    return pytest.mark.slow if family in FAMILIES_OF_MAKE_TEST else pytest.mark.family


class Sound(Backbone):
    """Keeps every promise. Tests derive backbones from it that break one."""

    family = "sound"
    default_variant = "s"
    variants = {"s": Variant("", 32, 768, to_unit_range)}
    pretrained = "none"

    def build(self, weights: str | None, image_size: int) -> Any:
        images = keras.Input((image_size, image_size, 3))
        maps = keras.layers.Conv2D(8, 3, 2, "same", name="first")(images)
        maps = keras.layers.BatchNormalization(name="norm")(maps)
        maps = self.middle(keras.layers.ReLU()(maps))
        return keras.Model(images, keras.layers.Conv2D(8, 3, 2, name="last")(maps[..., :7]))

    def middle(self, maps: Any) -> Any:
        return maps


@pytest.fixture
def last_result(tmp_path: Path) -> LastResult:
    def try_on(backbone: Backbone, *promises: str) -> str:
        """Check these promises in order; return the last result as the command prints it."""
        chosen = {name: PROMISES[name] for name in promises}
        return str(list(try_promises(backbone, tmp_path, chosen, 32))[-1])

    return try_on
