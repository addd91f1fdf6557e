"""Load a model on the device that GRAFT_DEVICE names, and check that this device is used."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from service.bundle.reading import Bundle
from service.engine.onnx_session import (
    CUDA,
    available_providers,
    onnxruntime_version,
    providers_for,
)
from service.engine.predictor import Predictor
from service.errors import SettingError


class RuntimeInfo(BaseModel):
    """Device, execution provider and threads of one worker, as GET /model shows them."""

    model_config = ConfigDict(frozen=True)

    device: str
    """The value of GRAFT_DEVICE."""
    provider: str
    """ONNX Runtime's name of the execution provider in use."""
    is_fallback: bool
    """Whether the CPU is used, although GRAFT_DEVICE and the build of ONNX Runtime allow a GPU."""
    onnxruntime: str
    """Version of ONNX Runtime."""
    workers: int
    """Number of workers of the service."""
    threads: int
    """Number of CPU threads of this worker."""


def preferred_provider(device: str) -> str:
    """Return the name of the best execution provider for a value of GRAFT_DEVICE."""
    best = providers_for(device)[0]
    return best if isinstance(best, str) else str(best[0])


def load_predictor(
    bundle: Bundle, device: str, threads: int | None = None, sessions: int = 1
) -> Predictor:
    """Load a model on the device that `device` names.

    If ONNX Runtime cannot use a GPU, it only logs a line and uses the CPU. If `device` requires a
    GPU, this function raises an error in that case.

    Args:
        bundle: a bundle that `Bundle.read` has verified.
        device: a value of GRAFT_DEVICE.
        threads: number of threads of one call; None = the default of ONNX Runtime.
        sessions: largest number of concurrent calls; further calls wait.

    Raises:
        BundleError: the model cannot be loaded or does not reproduce its golden answers.
        SettingError: `device` requires a GPU that cannot be used.
    """
    needs_gpu = device.startswith(("gpu", "cuda"))
    if needs_gpu and CUDA not in available_providers():
        raise SettingError(
            f"GRAFT_DEVICE (={device}): the installed ONNX Runtime is built without CUDA; install "
            "requirements/serving-gpu.txt (container image: build it with --build-arg "
            "LOCK=serving-gpu), or set GRAFT_DEVICE=cpu"
        )
    predictor = Predictor(bundle, threads, sessions, providers_for(device))
    if needs_gpu and predictor.provider != CUDA:
        raise SettingError(
            f"GRAFT_DEVICE (={device}): ONNX Runtime cannot use the GPU and would use "
            f"{predictor.provider}; check `nvidia-smi` and CUDA_VISIBLE_DEVICES, and install the "
            "versions of CUDA and cuDNN that this ONNX Runtime needs; or set GRAFT_DEVICE=cpu"
        )
    return predictor


def fallback_warning(device: str, predictor: Predictor) -> str:
    """Return a warning if the CPU is used although a GPU is preferred; otherwise ""."""
    if predictor.provider == preferred_provider(device):
        return ""
    return (
        f"the model runs on {predictor.provider}, because ONNX Runtime is built for GPUs but "
        "cannot use one; set GRAFT_DEVICE=gpu to make this an error, or GRAFT_DEVICE=cpu to use "
        "the CPU without this warning"
    )


def runtime_info(device: str, predictor: Predictor, workers: int, threads: int) -> RuntimeInfo:
    """Describe the device and the threads of one worker, for /model and /metrics."""
    return RuntimeInfo(
        device=device,
        provider=predictor.provider,
        is_fallback=bool(fallback_warning(device, predictor)),
        onnxruntime=onnxruntime_version(),
        workers=workers,
        threads=threads,
    )
