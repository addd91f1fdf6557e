"""Compute the heat map of a class: which regions of a picture raise the probability of the class.

A bundle has the operations for this in the file HEAT_MAPS. Its bytes, appended to those of the
model, are a model with the additional output `heat_maps`: protobuf merges messages that are
concatenated.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.engine.onnx_session import CPU, open_session


class Evidence(NamedTuple):
    """What a model computes for one picture.

    Attributes:
        embedding: (features,) float32.
        heat_maps: (h, w, classes) float32, how much each region raises the logit of each class, up
            to a positive factor; negative if the region lowers the logit.
    """

    embedding: NDArray[np.float32]
    heat_maps: NDArray[np.float32]


class HeatMapModel:
    """A model that also computes heat maps. It runs on one CPU thread: the caller's.

    Args:
        model: the bytes of the ONNX model.
        operations: the bytes of the file HEAT_MAPS.

    Raises:
        BundleError: ONNX Runtime cannot load them.
    """

    def __init__(self, model: bytes, operations: bytes) -> None:
        self._session = open_session(model + operations, threads=1, providers=[CPU])

    def run(self, image: NDArray[np.uint8]) -> Evidence:
        """Compute the embedding and the heat maps of one picture, (size, size, 3) uint8 RGB."""
        outputs = self._session.run(["embedding", "heat_maps"], {"images": image[np.newaxis]})
        return Evidence(*(output[0] for output in outputs))


def normalize(evidence: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn the heat map of one class into values from 0 to 1, as Grad-CAM does.

    Negative values become 0, and the largest value becomes 1. If no value is positive, all are 0.

    Args:
        evidence: (h, w) float32.
    """
    positive = np.maximum(evidence, 0)
    highest = positive.max()
    return positive / highest if highest > 0 else positive
