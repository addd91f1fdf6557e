"""How much faster is fine-tuning on kept features than on pictures? Both, side by side.

.venv/bin/python benchmarks/training.py [FAMILY:VARIANT] [IMAGE_SIZE] [LAYERS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from plugins.registry import resolve
from trainers import features, hardware
from trainers.features import Pictures, Source
from trainers.progress import Progress, set_up_logging

PICTURES, EPOCHS, BATCH, CLASSES, ROUNDS = 256, 8, 32, 4, 3


def main(name: str = "mobilenet:v2-1.0", size: str = "160", layers: str = "20") -> None:
    set_up_logging(is_quiet=True)
    hardware.prepare(seed=0)
    import keras

    from trainers.batches import Batches
    from trainers.model import embedder

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (PICTURES, int(size), int(size), 3), dtype=np.uint8)
    labels = rng.integers(0, CLASSES, PICTURES)
    backbone = resolve(name)
    body = backbone.load("none", int(size))
    backbone.fine_tune(body, int(layers))
    embedding = embedder(body).output
    model = keras.Model(body.input, keras.layers.Dense(CLASSES, "softmax")(embedding))
    pictures = Pictures(images, np.arange(PICTURES))

    def fit(trained: keras.Model, source: Source) -> float:
        """Seconds of an epoch, after a first one that compiles."""
        trained.compile(optimizer="adam", loss="categorical_crossentropy")
        batches = Batches(source, labels, np.ones(CLASSES, np.float32), BATCH, seed=0)
        trained.fit(batches, verbose=0)
        started = time.monotonic()
        trained.fit(batches, verbose=0)
        return time.monotonic() - started

    with tempfile.TemporaryDirectory() as folder:
        parts = features.cut(model, PICTURES)
        if not parts:
            sys.exit(f"{name} with {layers} layers has nothing frozen to keep")
        frozen, trained = parts
        started = time.monotonic()
        path = Path(folder, "features.f32")
        kept = features.compute(frozen, pictures, features.VIEWS, path, Progress(is_quiet=True))
        once = time.monotonic() - started
        ratios = []
        for _ in range(ROUNDS):
            whole, part = fit(model, pictures), fit(trained, kept)
            ratios.append(whole * EPOCHS / (once + part * EPOCHS))
            print(f"an epoch on pictures {whole:.2f} s, on features {part:.2f} s", flush=True)
    print(
        f"{name} at {size} px, last {layers} layers: features of {PICTURES} pictures {once:.2f} s"
    )
    print(f"{EPOCHS} epochs are {np.median(ratios):.1f} times as fast (median of {ROUNDS})")


if __name__ == "__main__":
    main(*sys.argv[1:])
