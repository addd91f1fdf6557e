from __future__ import annotations

from typing import Any

import onnxruntime
import pytest

from service.bundle.reading import Bundle
from service.engine.device import fallback_warning, load_predictor, preferred_provider, runtime_info
from service.engine.onnx_session import CPU, CUDA, providers_for
from service.errors import SettingError
from service.settings import Settings


@pytest.fixture
def gpu_build_without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ONNX Runtime with CUDA on a machine without a GPU: it uses the CPU without an error."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    original_session = onnxruntime.InferenceSession

    def session(model: Any, options: Any, providers: Any) -> Any:
        return original_session(model, options, providers=[CPU])

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)


@pytest.mark.parametrize("device", ["gpu", "cuda", "gpu:1"])
def test_a_gpu_is_refused_without_a_gpu_build(tiny_bundle: Bundle, device: str) -> None:
    with pytest.raises(SettingError, match=rf"GRAFT_DEVICE \(={device}\): .* without CUDA"):
        load_predictor(tiny_bundle, device)


@pytest.mark.parametrize("device", ["gpu", "cuda:0"])
def test_a_gpu_that_cannot_be_used_is_refused(
    gpu_build_without_gpu: None, tiny_bundle: Bundle, device: str
) -> None:
    with pytest.raises(SettingError, match=r"cannot use the GPU and would use CPUExecution"):
        load_predictor(tiny_bundle, device)


def test_a_fallback_to_the_cpu_is_a_warning(
    gpu_build_without_gpu: None, tiny_bundle: Bundle
) -> None:
    predictor = load_predictor(tiny_bundle, "auto")
    assert "runs on CPUExecutionProvider" in fallback_warning("auto", predictor)
    info = runtime_info("auto", predictor, workers=1, threads=2)
    assert (info.provider, info.is_fallback) == (CPU, True)


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_without_a_gpu_build_the_cpu_is_not_a_fallback(tiny_bundle: Bundle, device: str) -> None:
    predictor = load_predictor(tiny_bundle, device)
    assert fallback_warning(device, predictor) == ""
    info = runtime_info(device, predictor, workers=2, threads=1)
    assert info.model_dump() == {
        **{"device": device, "provider": CPU, "is_fallback": False},
        **{"onnxruntime": onnxruntime.__version__, "workers": 2, "threads": 1},
    }


def test_the_cpu_by_choice_is_not_a_fallback(
    gpu_build_without_gpu: None, tiny_bundle: Bundle
) -> None:
    assert not runtime_info(
        "cpu", load_predictor(tiny_bundle, "cpu"), workers=1, threads=1
    ).is_fallback


def test_a_gpu_is_selected_by_its_number(gpu_build_without_gpu: None) -> None:
    assert providers_for("gpu:2") == [(CUDA, {"device_id": 2}), CPU]
    assert providers_for("cuda") == [(CUDA, {"device_id": 0}), CPU]
    assert providers_for("auto") == [(CUDA, {"device_id": 0}), CPU]
    assert (preferred_provider("gpu:2"), preferred_provider("auto"), preferred_provider("cpu")) == (
        CUDA,
        CUDA,
        CPU,
    )


@pytest.mark.parametrize("device", ["tpu", "gpu:", "CUDA", "cpu:1"])
def test_other_devices_are_refused(device: str) -> None:
    with pytest.raises(SettingError, match="GRAFT_DEVICE"):
        Settings.from_environment({"GRAFT_DEVICE": device})
