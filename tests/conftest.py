"""What tests of all three packages share: a home of their own, pictures, a tiny backbone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plugins.base import Backbone, Variant
from plugins.registry import register
from plugins.scaling import to_unit_range

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

SHARED = Path(__file__).parents[2] / "shared"
COLOURS = {"blue": (40, 60, 200), "green": (40, 180, 60), "red": (210, 50, 40)}

DrawFolder = Callable[..., Path]


@pytest.fixture(scope="session", autouse=True)
def bentoml_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """BentoML keeps nothing in the user's home and reports nothing, here and in subprocesses."""
    from bentoml._internal.configuration.containers import BentoMLContainer

    home = tmp_path_factory.mktemp("bentoml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(home))
        patch.setenv("BENTOML_DO_NOT_TRACK", "True")
        patch.setenv("GRAFT_CACHE", str(tmp_path_factory.mktemp("cache")))
        BentoMLContainer.bentoml_home.set(str(home))
        BentoMLContainer.model_store.reset()
        yield home
        BentoMLContainer.bentoml_home.reset()
        BentoMLContainer.model_store.reset()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real pictures and weights beside the project; tests that need them skip where absent."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared with real pictures and weights here")
    return SHARED


@pytest.fixture(scope="session")
def draw_folder() -> DrawFolder:
    """Draw class folders of noisy one-colour pictures: draw_folder(path, red=5, blue=5)."""

    def draw(folder: Path, size: int = 40, **counts: int) -> Path:
        for label, count in counts.items():
            (folder / label).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                rng = np.random.default_rng((list(counts).index(label), number))
                noise = rng.normal(0, 25, (size, size, 3)) + COLOURS[label]
                picture = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
                picture.save(folder / label / f"{number}.png")
        return folder

    return draw


@register
class Tiny(Backbone):
    """Three convolutions with normalisations: trains in seconds, enters like any other plugin."""

    family = "tiny"
    default_variant = "s"
    variants = {"s": Variant("", 32, 1_592, to_unit_range)}

    def build(self, weights: str | None, image_size: int) -> Any:
        from keras import Input, Model, layers

        if weights:
            raise OSError("URL fetch failure on https://example.org/tiny.h5: None -- offline")
        images = Input((image_size, image_size, 3))
        features = images
        for number, width in enumerate((8, 8, 12), 1):
            shortcut = features
            features = layers.Conv2D(width, 3, 2, "same", name=f"conv{number}")(features)
            features = layers.BatchNormalization(name=f"norm{number}")(features)
            features = layers.ReLU(name=f"relu{number}")(features)
            if number == 2:
                features = layers.Add()([features, layers.AveragePooling2D(2)(shortcut)])
        return Model(images, features)
