"""Runs frozen layers on pictures: with TensorFlow on GPUs, with ONNX Runtime on a CPU."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from queue import SimpleQueue
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from onnx import ModelProto
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from service.engine.onnx_session import open_session
from trainers import hardware
from trainers.model.conversion import serving_function, to_onnx
from trainers.progress import log
from trainers.resources.out_of_memory import AdaptiveBatches
from trainers.resources.time_budget import TimeBudget, TimeBudgetSpentError

BATCH_SIZE, CALLS_PER_DEVICE = 32, 2
"""One call of TensorFlow gets at most BATCH_SIZE pictures. Each device runs CALLS_PER_DEVICE calls
at the same time."""

Extract = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


class FeatureExtractor(ABC):
    """Turns pictures into features.

    Attributes:
        shape: the shape of the features of one picture.
    """

    shape: tuple[int, ...]

    @abstractmethod
    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the features (M, *shape) float32 of pictures (M, S, S, 3) uint8."""


class FrozenLayers(FeatureExtractor):
    """A frozen network, run with TensorFlow on all GPUs, or with ONNX Runtime if there is no GPU.

    ONNX Runtime computes each picture in a separate call, in one thread. This is fastest, and
    the features of a picture do not depend on the other pictures, not even in the last bit.

    Args:
        model: the frozen network.
        devices: TensorFlow's names of the devices to compute on; None means the GPUs in use.
            Without devices, ONNX Runtime computes on the CPU.
        output: name of the output of the ONNX model.
    """

    def __init__(
        self, model: keras.Model, devices: Sequence[str] | None = None, output: str = "maps"
    ) -> None:
        self.shape = tuple(model.output_shape[1:])
        self._function, self._output = serving_function(model), output
        names = hardware.gpus() if devices is None else list(devices)
        if names:
            pool = DevicePool(self._function, names)
            self._extract: Extract = AdaptiveBatches(pool, BATCH_SIZE, "extracting features")
            devices_text = f"{len(names)} device{'' if len(names) == 1 else 's'}"
            log.info(
                "extracting features on %s, in batches of at most %d pictures",
                *(devices_text, BATCH_SIZE),
            )
        else:
            self._extract = open_on_cpu(self.onnx.SerializeToString())

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the features (M, *shape) float32 of pictures (M, S, S, 3) uint8. Thread-safe.

        Raises:
            MemoryShortageError: the memory of a device is too small for one picture.
        """
        return self._extract(images)

    @cached_property
    def onnx(self) -> ModelProto:
        """The network as an ONNX model, with the input `images` and the output `output`."""
        return to_onnx(self._function, (self._output,))


class TimeLimitedExtractor(FeatureExtractor):
    """A feature extractor that raises TimeBudgetSpentError once the time budget is spent.

    Features that are in the cache by then stay there.
    """

    def __init__(self, extractor: FeatureExtractor, budget: TimeBudget) -> None:
        self.shape, self._extractor, self._budget = extractor.shape, extractor, budget

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self._budget.is_spent():
            raise TimeBudgetSpentError("the time budget is spent")
        return self._extractor(images)


class DevicePool:
    """Runs a function on several devices; each device has its own copy of the weights.

    Several threads may call an instance. Each device runs CALLS_PER_DEVICE calls at the same time,
    so that one batch is copied while another is computed. Further calls wait for a free device.
    """

    def __init__(self, function: Any, devices: Sequence[str]) -> None:
        # Weights become constants of the graph, so they are on whichever device runs it.
        traced = function.get_concrete_function()
        self._function = convert_variables_to_constants_v2(traced, lower_control_flow=False)
        self._free_devices: SimpleQueue[str] = SimpleQueue()
        for device in [*devices] * CALLS_PER_DEVICE:
            self._free_devices.put(device)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        device = self._free_devices.get()
        try:
            with tf.device(device):
                return np.asarray(self._function(tf.constant(images))[0])
        finally:
            self._free_devices.put(device)


def open_on_cpu(content: bytes) -> Extract:
    """Return a function that runs an ONNX model on the CPU, one picture at a time, in one thread.

    Args:
        content: the bytes of the model, which has the input `images` and one output.
    """
    session = open_session(content, threads=1, providers=["CPUExecutionProvider"])

    def run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.concatenate(
            [session.run(None, {"images": image[np.newaxis]})[0] for image in images]
        )

    return run
