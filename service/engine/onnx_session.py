"""Import ONNX Runtime, list its execution providers, and open sessions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from service.errors import BundleError

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"


def import_onnxruntime() -> Any:
    """Import ONNX Runtime with telemetry switched off; other modules must not import it directly.

    The official builds send telemetry to Microsoft unless ORT_DISABLE_TELEMETRY is set before the
    import.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def onnxruntime_version() -> str:
    """Return the version of the installed ONNX Runtime, which may be the CPU or the GPU package."""
    return str(import_onnxruntime().__version__)


def available_providers() -> list[str]:
    """List the execution providers of this ONNX Runtime: CUDA if it is built in, then the CPU."""
    available = import_onnxruntime().get_available_providers()
    return [name for name in (CUDA, CPU) if name in available]


def providers_for(device: str) -> list[Any]:
    """List the execution providers for `auto`, `cpu`, `gpu` or `gpu:N`, best first.

    The CPU comes after CUDA, for operations that CUDA does not support. If ONNX Runtime is built
    without CUDA, the list has only the CPU, even for `gpu`. This is not an error, because in
    training `device` also applies to TensorFlow, which may be able to use the GPU.
    """
    kind, _, number = device.partition(":")
    if kind == "cpu" or CUDA not in available_providers():
        return [CPU]
    return [(CUDA, {"device_id": int(number or 0)}), CPU]


def open_session(
    model: Path | bytes, threads: int | None = None, providers: Sequence[Any] | None = None
) -> Any:
    """Load an ONNX model into an `onnxruntime.InferenceSession`.

    Args:
        model: the path of the file, or its content.
        threads: number of threads of one call; None = the default of ONNX Runtime.
        providers: execution providers, best first; None = all `available_providers`.

    Raises:
        BundleError: ONNX Runtime cannot load the model.
    """
    onnxruntime = import_onnxruntime()
    providers = providers or available_providers()
    if any("CUDA" in str(provider) for provider in providers):
        # CUDA's libraries are installed as Python packages, where the linker does not find them.
        # Without this call ONNX Runtime would only log a line and use the CPU.
        onnxruntime.preload_dlls()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:  # ONNX Runtime raises its own untyped C++ exceptions
        name = model if isinstance(model, Path) else "the model"
        raise BundleError(
            f"ONNX Runtime cannot load {name} ({error}); train the model again with the "
            "installed version of ONNX Runtime"
        ) from error
