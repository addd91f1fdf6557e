"""GRAFT_DEVICE: load a model on the device that it names, and check that the device is used."""

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
    """Whether the CPU is used although GRAFT_DEVICE allows a GPU that ONNX Runtime is built for."""
    onnxruntime: str
    workers: int
    threads: int
    """Of this worker."""


def preferred_provider(device: str) -> str:
    """Return ONNX Runtime's name of the provider that should be used."""
    best = providers_for(device)[0]
    return best if isinstance(best, str) else str(best[0])


def load_predictor(
    bundle: Bundle, device: str, threads: int | None = None, sessions: int = 1
) -> Predictor:
    """Load a model on the device that GRAFT_DEVICE names.

    ONNX Runtime itself only logs a line when it cannot use a GPU, and goes on with the CPU.

    Raises:
        BundleError: as `Predictor`.
        SettingError: `device` names a GPU, and the model would run on something else.
    """
    needs_gpu = device.startswith(("gpu", "cuda"))
    if needs_gpu and CUDA not in available_providers():
        raise SettingError(
            f"GRAFT_DEVICE (={device}): this ONNX Runtime is built without CUDA: install "
            "requirements/serving-gpu.txt (image: --build-arg LOCK=serving-gpu), or choose cpu"
        )
    predictor = Predictor(bundle, threads, sessions, providers_for(device))
    if needs_gpu and predictor.provider != CUDA:
        raise SettingError(
            f"GRAFT_DEVICE (={device}): ONNX Runtime cannot use the GPU and would use "
            f"{predictor.provider}: check `nvidia-smi`, CUDA_VISIBLE_DEVICES, and that the "
            "installed versions of CUDA and cuDNN are those it is built for; or choose cpu"
        )
    return predictor


def fallback_warning(device: str, predictor: Predictor) -> str:
    """Return a warning where the CPU replaces a GPU; "" where the preferred provider is used."""
    if predictor.provider == preferred_provider(device):
        return ""
    return (
        f"the model runs on {predictor.provider}: ONNX Runtime is built for a GPU and cannot use "
        "one; set GRAFT_DEVICE=gpu to refuse this, or GRAFT_DEVICE=cpu to accept it"
    )


def runtime_info(device: str, predictor: Predictor, workers: int, threads: int) -> RuntimeInfo:
    """Describe what the model runs on, for /model and /metrics."""
    return RuntimeInfo(
        device=device,
        provider=predictor.provider,
        is_fallback=bool(fallback_warning(device, predictor)),
        onnxruntime=onnxruntime_version(),
        workers=workers,
        threads=threads,
    )
