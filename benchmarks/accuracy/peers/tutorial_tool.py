"""The recipe of most tutorials on transfer learning with Keras, from the same backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tool import run

EPOCHS, TUNED_EPOCHS, TUNED_LAYERS = 20, 10, 50


def train(plugin: str, weights: str, work: Path, seed: int) -> Any:
    """Train a dense head on a frozen network with random views, then the last 50 layers."""
    import tensorflow as tf

    from plugins.registry import resolve

    keras = tf.keras
    keras.utils.set_random_seed(seed)
    backbone = resolve(plugin)
    size = backbone.image_size
    generator = keras.preprocessing.image.ImageDataGenerator(
        rotation_range=20,
        width_shift_range=0.2,
        height_shift_range=0.2,
        zoom_range=0.2,
        horizontal_flip=True,
        validation_split=0.2,
    )
    train, validation = (
        generator.flow_from_directory(
            work / "pictures" / "train", (size, size), batch_size=32, subset=subset, seed=seed
        )
        for subset in ("training", "validation")
    )
    base = backbone.load(weights, size)
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
    model.compile(keras.optimizers.Adam(1e-3), "categorical_crossentropy", ["accuracy"])
    model.fit(train, validation_data=validation, epochs=EPOCHS, verbose=0)
    base.trainable = True
    for layer in base.layers[:-TUNED_LAYERS]:
        layer.trainable = False
    model.compile(keras.optimizers.Adam(1e-5), "categorical_crossentropy", ["accuracy"])
    model.fit(train, validation_data=validation, epochs=TUNED_EPOCHS, verbose=0)
    return model


def classify(model: Any, folder: Path) -> tuple[list[list[float]], list[int]]:
    import keras

    test = keras.utils.image_dataset_from_directory(
        folder,
        image_size=model.input_shape[1:3],
        shuffle=False,
        verbose=False,
        follow_links=True,
    )
    labels = np.concatenate([batch.numpy() for _, batch in test])
    return model.predict(test, verbose=0).tolist(), labels.tolist()


if __name__ == "__main__":
    run(train, classify)
