"""Pictures in, probabilities out: ONNX Runtime behind one method."""

from __future__ import annotations

import os
import queue
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import MODEL, Bundle
from service.errors import BundleError
from service.imaging import Limits, decode

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
GOLDEN_TOLERANCE = 1e-3
"""Largest difference of a probability from the answer recorded at export. Another processor's
kernels move float32 answers by about 1e-6, another libjpeg by a few 1e-4."""


class Predictor:
    """A loaded model, checked against its own golden pictures before it answers anything.

    Args:
        bundle: where the model lies; its files have been verified by `Bundle.read`.
        threads: threads for one call; None lets ONNX Runtime take every core.
        sessions: most calls at a time; more wait for their turn.
        chosen: execution providers, as `open_session` takes them.

    Attributes:
        provider: ONNX Runtime's name of what it computes on.

    Raises:
        BundleError: the model cannot be loaded or does not give its recorded answers.
    """

    def __init__(
        self,
        bundle: Bundle,
        threads: int | None = None,
        sessions: int = 1,
        chosen: Sequence[Any] | None = None,
    ) -> None:
        self.bundle = bundle
        self.classes = bundle.manifest.classes
        self.image_size = bundle.manifest.input.size
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        model = bundle.content(MODEL)
        try:
            session = open_session(model, threads, chosen)
        except BundleError as error:
            raise BundleError(f"{bundle.model_path}: {error}") from error
        self.provider = str(session.get_providers()[0])
        for index in range(sessions):
            # Calls of one thread each can share a session and its memory: they run in their
            # callers' threads. Larger ones would share one pool of threads.
            is_own = index > 0 and threads != 1
            own = open_session(model, threads, chosen) if is_own else session
            self._free.put(own)
        self.check_golden()

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Classify a batch: (N, H, W, 3) uint8 RGB -> (N, classes) float32, rows sum to 1."""
        return self._run("probabilities", images)

    def decode(
        self,
        data: bytes,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
    ) -> NDArray[np.uint8]:
        """The bytes of a picture -> (size, size, 3) uint8 RGB, decoded as in training.

        Raises:
            RequestError: it cannot be decoded, or is of a kind that this model does not take.
        """
        taken = self.bundle.manifest.input
        return decode(
            data, taken.size, limits, significant_bits=taken.significant_bits, kinds=taken.kinds
        )

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The backbone's pooled features: (N, H, W, 3) uint8 -> (N, features) float32."""
        return self._run("embedding", images)

    def rank(self, probabilities: NDArray[np.float32], top: int) -> list[tuple[str, float]]:
        """One picture's `top` best classes: (classes,) -> [(class, probability)], best first."""
        order = (-probabilities).argsort(kind="stable")[:top].tolist()
        scores = probabilities.tolist()
        return [(self.classes[index], scores[index]) for index in order]

    def check_golden(self) -> None:
        """Answer the golden pictures again from their bytes; BundleError where they differ."""
        for picture, expected in self.bundle.golden():
            data = self.bundle.content(f"golden/{picture.name}")
            try:
                image = self.decode(data)
                probabilities = self.predict(image[np.newaxis])[0]
            except Exception as error:  # ONNX Runtime raises its own untyped C++ exceptions
                raise BundleError(
                    f"{self.bundle.path}: the model cannot answer golden picture {picture.name}: "
                    f"{error}"
                ) from error
            if not len(probabilities) == len(expected) == len(self.classes):
                raise BundleError(
                    f"{self.bundle.path}: {len(self.classes)} classes, but the model answers "
                    f"{len(probabilities)} and golden picture {picture.name} {len(expected)} "
                    "probabilities; export again"
                )
            difference = float(np.abs(probabilities - np.asarray(expected, np.float32)).max())
            if not difference <= GOLDEN_TOLERANCE:  # also when it is not a number
                raise BundleError(
                    f"golden picture {picture.name} does not reproduce: probabilities differ by "
                    f"{difference:.2g} from those recorded at export (allowed: "
                    f"{GOLDEN_TOLERANCE:g}). {self.bundle.path} was made with "
                    f"{self.bundle.manifest.decoder}; train it again with the installed versions"
                )

    def _run(self, output: str, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        session = self._free.get()
        try:
            result: NDArray[np.float32] = session.run([output], {"images": images})[0]
        finally:
            self._free.put(session)
        return result


def import_onnxruntime() -> Any:
    """The only door to it: the official builds report to Microsoft unless told not to before."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def providers() -> list[str]:
    """What ONNX Runtime is built for, best first: CUDA perhaps, and the CPU."""
    available = import_onnxruntime().get_available_providers()
    return [name for name in (CUDA, CPU) if name in available]


def providers_for(device: str) -> list[Any]:
    """ONNX Runtime's execution providers for `auto`, `cpu`, `gpu` or `gpu:N`, best first.

    The CPU stands behind CUDA for operations that CUDA lacks, and alone where this ONNX Runtime is
    built without CUDA, whatever is asked for: TensorFlow may have the GPU all the same.
    """
    kind, _, number = device.partition(":")
    if kind == "cpu" or CUDA not in providers():
        return [CPU]
    return [(CUDA, {"device_id": int(number or 0)}), CPU]


def open_session(
    model: Path | bytes, threads: int | None = None, chosen: Sequence[Any] | None = None
) -> Any:
    """Load an ONNX file, or its content, on the best processor that ONNX Runtime finds.

    Args:
        threads: for one call; None for every core.
        chosen: execution providers of ONNX Runtime; None for the best that there are.

    Raises:
        BundleError: ONNX Runtime cannot load it.
    """
    onnxruntime = import_onnxruntime()
    chosen = chosen or providers()
    if any("CUDA" in str(provider) for provider in chosen):
        # CUDA's libraries come as Python packages, where no linker looks: without this the GPU is
        # left alone with no more than a line in the log.
        onnxruntime.preload_dlls()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(model, options, providers=chosen)
    except Exception as error:  # ONNX Runtime raises its own untyped C++ exceptions
        name = model if isinstance(model, Path) else "the model"
        raise BundleError(f"ONNX Runtime cannot load {name}: {error}") from error
