"""The recipe of most tutorials on transfer learning with Keras, for benchmarks/training.py.

.venv/bin/python benchmarks/tutorial.py WEIGHTS SEED IMAGE_SIZE FOLDER_OF_WORK
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

ALPHA = 0.35
EPOCHS, TUNED_EPOCHS, TUNED_LAYERS, BATCH = 20, 10, 50, 32


def main(weights: str, seed: int, size: int, work: Path) -> None:
    """Train on the pictures in work/split; print the time and test accuracy after each epoch.

    The line of JSON also has the seconds of the imports, and `test_seconds`, those of measuring the
    test accuracies, which are not training time.
    """
    started = time.monotonic()
    import tensorflow as tf

    keras, image = tf.keras, tf.keras.preprocessing.image
    imported = time.monotonic()
    keras.utils.set_random_seed(seed)

    def flow(split: str, generator: Any, **options: Any) -> Any:
        path = work / "split" / split
        return generator.flow_from_directory(
            path, (size, size), batch_size=BATCH, class_mode="categorical", seed=seed, **options
        )

    plain = image.ImageDataGenerator(rescale=1 / 255)
    varied = image.ImageDataGenerator(
        rescale=1 / 255,
        rotation_range=20,
        width_shift_range=0.2,
        height_shift_range=0.2,
        zoom_range=0.2,
        horizontal_flip=True,
    )
    train, validation = flow("train", varied), flow("validation", plain)
    test = flow("test", plain, shuffle=False)
    is_file = weights != "imagenet"
    base = keras.applications.MobileNetV2(
        input_shape=(size, size, 3),
        alpha=ALPHA,
        include_top=False,
        weights=None if is_file else weights,
    )
    if is_file:
        base.load_weights(weights)
    base.trainable = False
    model = keras.Sequential(
        [
            base,
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(train.num_classes, activation="softmax"),
        ]
    )
    models: list[tuple[float, float]] = []
    stopped = 0.0

    class Measure(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            nonlocal stopped
            epoch_end = time.monotonic()
            accuracy = model.evaluate(test, verbose=0)[1]
            models.append((epoch_end - imported - stopped, float(accuracy)))
            stopped += time.monotonic() - epoch_end

    def fit(rate: float, epochs: int) -> None:
        model.compile(keras.optimizers.Adam(rate), "categorical_crossentropy", metrics=["accuracy"])
        model.fit(
            train, validation_data=validation, epochs=epochs, verbose=0, callbacks=[Measure()]
        )

    fit(1e-3, EPOCHS)
    base.trainable = True
    for layer in base.layers[:-TUNED_LAYERS]:
        layer.trainable = False
    fit(1e-5, TUNED_EPOCHS)
    figures = {"models": models, "imports": imported - started, "test_seconds": stopped}
    print(json.dumps(figures))


if __name__ == "__main__":
    weights, seed, size, work = sys.argv[1:]
    main(weights, int(seed), int(size), Path(work))
