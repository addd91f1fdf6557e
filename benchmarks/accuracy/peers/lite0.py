"""Loads the weights of EfficientNet-Lite0 from a file of Keras into the network of timm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
import torch

NAME, SIZE, MEAN, DEVIATION = "tf_efficientnet_lite0", 224, 0.5, 0.5
CONVOLUTION, DEPTHWISE = (3, 2, 0, 1), (2, 3, 0, 1)
"""The axes of a kernel of Keras in the order of PyTorch."""


def load_weights(network: torch.nn.Module, path: str) -> None:
    """Copy the weights layer by layer: both networks have the layers in the same order.

    Args:
        network: the network of timm, without its classifier.
        path: a .weights.h5 file of Keras.
    """
    with h5py.File(path) as file:
        kernels = _layers(file, "conv2d")
        depthwise_kernels = _layers(file, "depthwise_conv2d")
        normalizations = _layers(file, "batch_normalization")
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d):
                is_depthwise = layer.groups > 1
                (kernel,) = next(depthwise_kernels if is_depthwise else kernels)
                axes = DEPTHWISE if is_depthwise else CONVOLUTION
                _copy(layer.weight, kernel.transpose(axes))
            elif isinstance(layer, torch.nn.BatchNorm2d):
                tensors = (layer.weight, layer.bias, layer.running_mean, layer.running_var)
                for tensor, array in zip(tensors, next(normalizations), strict=True):
                    _copy(tensor, array)
        for layers in (kernels, depthwise_kernels, normalizations):
            if next(layers, None) is not None:
                raise ValueError(f"{path} has more layers than {NAME}")


def _layers(file: Any, name: str) -> Iterator[list[np.ndarray]]:
    """Yield the arrays of each layer of a kind: Keras numbers the layers name, name_1, name_2..."""
    number = 0
    while (layer := f"layers/{name}_{number}" if number else f"layers/{name}") in file:
        variables = file[f"{layer}/vars"]
        yield [variables[str(index)][()] for index in range(len(variables))]
        number += 1


def _copy(tensor: Any, array: np.ndarray) -> None:
    if tuple(tensor.shape) != array.shape:
        raise ValueError(f"the file has an array {array.shape} where timm has {tensor.shape}")
    with torch.no_grad():
        tensor.copy_(torch.from_numpy(np.ascontiguousarray(array)))
