"""GRAFT_DEVICE: what the model is computed on, and that it is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from service.bundle.manifest import Bundle
from service.engine.predictor import CUDA, Predictor, import_onnxruntime, providers, providers_for
from service.errors import SettingError


class Runtime(BaseModel):
    """Device, execution provider and threads of one worker, as GET /model shows them."""

    model_config = ConfigDict(frozen=True)

    device: str
    """As GRAFT_DEVICE asks."""
    provider: str
    """ONNX Runtime's name of what it computes on."""
    is_fallback: bool
    """Whether ONNX Runtime is built for a GPU, may use one, and computes on the CPU."""
    onnxruntime: str
    workers: int
    threads: int
    """Of this worker."""


def wanted(device: str) -> str:
    """ONNX Runtime's name of what would compute where all is well."""
    best = providers_for(device)[0]
    return best if isinstance(best, str) else str(best[0])


def load(bundle: Bundle, device: str, threads: int | None = None, sessions: int = 1) -> Predictor:
    """Load a model on what GRAFT_DEVICE asks for.

    ONNX Runtime goes on without a GPU that it cannot use, and says so in its own log at most.

    Raises:
        BundleError: as `Predictor`.
        SettingError: a GPU is asked for, and the model would run on something else.
    """
    is_gpu = device.startswith(("gpu", "cuda"))
    if is_gpu and CUDA not in providers():
        raise SettingError(
            f"GRAFT_DEVICE (={device}): this ONNX Runtime is built without CUDA: install "
            "requirements/serving-gpu.txt (image: --build-arg LOCK=serving-gpu), or ask for cpu"
        )
    predictor = Predictor(bundle, threads, sessions, providers_for(device))
    if is_gpu and predictor.provider != CUDA:
        raise SettingError(
            f"GRAFT_DEVICE (={device}): ONNX Runtime cannot use it and would compute on "
            f"{predictor.provider}: look at `nvidia-smi`, CUDA_VISIBLE_DEVICES and whether its "
            "CUDA and cuDNN are those that are installed, or ask for cpu"
        )
    return predictor


def fallback(device: str, predictor: Predictor) -> str:
    """What to say where a GPU was to be used and is not; "" where all is well."""
    if predictor.provider == wanted(device):
        return ""
    return (
        f"{predictor.provider} computes, for ONNX Runtime cannot use the GPU that it is built for; "
        "GRAFT_DEVICE=gpu refuses to go on like this, GRAFT_DEVICE=cpu says that it is meant"
    )


def version() -> str:
    """ONNX Runtime's; its package has another name on machines with a GPU."""
    return str(import_onnxruntime().__version__)


def runtime(device: str, predictor: Predictor, workers: int, threads: int) -> Runtime:
    """What computes here, as /model and /metrics show it."""
    return Runtime(
        device=device,
        provider=predictor.provider,
        is_fallback=bool(fallback(device, predictor)),
        onnxruntime=version(),
        workers=workers,
        threads=threads,
    )
