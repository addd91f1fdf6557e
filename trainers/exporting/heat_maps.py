"""Exports the operations that compute heat maps, and compares the heat maps with Grad-CAM."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import onnx
import tensorflow as tf
from numpy.typing import NDArray

from service.bundle.manifest import HEAT_MAPS, MODEL
from service.errors import ParityError
from service.explanation.heat_maps import HeatMapModel, normalize
from trainers.exporting.formats import Source
from trainers.model.classifier import Classifier
from trainers.model.heat_maps import build_heat_maps

TOLERANCE: Final = 1e-3
"""The largest allowed difference between a value of a heat map, 0 to 1, and that of Grad-CAM."""
PARITY_PICTURES: Final = 8
"""Heat maps are compared on at most this many pictures."""


def has_regions(classifier: Classifier) -> bool:
    """Whether the feature maps tell the regions of a picture apart. Otherwise, no heat maps exist.

    They do not if the backbone describes a picture by one token alone.
    """
    channels = classifier.body.output_shape[-1]
    return bool(classifier.backbone.whole_picture_channels(classifier.body) < channels)


def export(classifier: Classifier, folder: Path) -> None:
    """Write the operations for heat maps into `folder`, which has the exported model.

    Raises:
        ConversionError: the exported model cannot have heat maps.
    """
    channels = classifier.backbone.whole_picture_channels(classifier.body)
    operations = build_heat_maps(onnx.load(folder / MODEL), classifier.head, channels)
    (folder / HEAT_MAPS).write_bytes(operations.SerializeToString())


def check_parity(source: Source, folder: Path, images: NDArray[np.uint8]) -> dict[str, Any]:
    """Compare the heat maps of the predicted classes with those of Grad-CAM in Keras.

    The median of the pictures is compared with the tolerance, not the largest difference. If
    hardly any region speaks for a class, the normalisation magnifies rounding errors. This is rare,
    whereas a wrong heat map is wrong for all pictures.

    Args:
        folder: the folder with the exported model and the operations.
        images: (N, S, S, 3) uint8 pictures. Only the first PARITY_PICTURES are used.

    Returns:
        A dictionary for the manifest, with `tolerance`, `pictures` (their number) and `difference`
        (the median of the largest difference in each picture).

    Raises:
        ParityError: the difference is larger than TOLERANCE.
    """
    images = images[:PARITY_PICTURES]
    model = HeatMapModel((folder / MODEL).read_bytes(), (folder / HEAT_MAPS).read_bytes())
    classes = source.predict(images).argmax(axis=1)
    maps = [
        normalize(model.run(image).heat_maps[..., index])
        for image, index in zip(images, classes, strict=True)
    ]
    expected = grad_cam(source.classifier, images, classes)
    differences = np.abs(np.stack(maps) - expected).max(axis=(1, 2))
    difference = float(np.median(differences))
    if not difference <= TOLERANCE:  # also true for NaN
        raise ParityError(
            f"the exported heat maps differ from Grad-CAM: a value differs by {difference:.2g} "
            f"(allowed: {TOLERANCE:g}). No bundle was written. Please report this error with the "
            "plugin's name and the installed versions"
        )
    return {"tolerance": TOLERANCE, "pictures": len(images), "difference": difference}


def grad_cam(
    classifier: Classifier, images: NDArray[np.uint8], classes: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Compute Grad-CAM with TensorFlow's automatic differentiation, to check the exported model.

    Args:
        images: (N, S, S, 3) uint8 pictures.
        classes: (N,) the index of the class to explain, for each picture.

    Returns:
        (N, h, w) float32, 0 to 1, without the channels that describe the whole picture.
    """
    head = classifier.head
    logits = keras.Model(head.input, head.get_layer("logits").output)
    feature_maps = tf.convert_to_tensor(classifier.body(images.astype(np.float32), training=False))
    with tf.GradientTape() as tape:
        tape.watch(feature_maps)
        outputs = logits(tf.reduce_mean(feature_maps, axis=(1, 2)), training=False)
        total = tf.reduce_sum(tf.gather(outputs, classes, axis=1, batch_dims=1))
    weights = tf.reduce_mean(tape.gradient(total, feature_maps), axis=(1, 2), keepdims=True)
    regional = feature_maps.shape[-1] - classifier.backbone.whole_picture_channels(classifier.body)
    evidence = tf.reduce_sum((weights * feature_maps)[..., :regional], axis=-1).numpy()
    return np.stack([normalize(picture) for picture in evidence])
