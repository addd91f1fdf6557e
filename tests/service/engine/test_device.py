from __future__ import annotations

from typing import Any

import onnxruntime
import pytest

from service.bundle.manifest import Bundle
from service.engine.device import fallback, load, runtime, wanted
from service.engine.predictor import CPU, CUDA, providers_for
from service.errors import SettingError
from service.settings import Settings


@pytest.fixture
def built_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ONNX Runtime with CUDA on a machine without: what is asked for falls back in silence."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    usual = onnxruntime.InferenceSession

    def session(model: Any, options: Any, providers: Any) -> Any:
        return usual(model, options, providers=[CPU])

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)


@pytest.mark.parametrize("device", ["gpu", "cuda", "gpu:1"])
def test_a_gpu_is_refused_where_onnxruntime_is_built_without(
    tiny_bundle: Bundle, device: str
) -> None:
    with pytest.raises(SettingError, match=rf"GRAFT_DEVICE \(={device}\): .* without CUDA"):
        load(tiny_bundle, device)


@pytest.mark.parametrize("device", ["gpu", "cuda:0"])
def test_a_gpu_that_cannot_be_used_is_refused(
    built_for_gpus: None, tiny_bundle: Bundle, device: str
) -> None:
    with pytest.raises(SettingError, match=r"cannot use it and would compute on CPUExecution"):
        load(tiny_bundle, device)


def test_falling_back_is_said(built_for_gpus: None, tiny_bundle: Bundle) -> None:
    predictor = load(tiny_bundle, "auto")
    assert "CPUExecutionProvider computes" in fallback("auto", predictor)
    found = runtime("auto", predictor, workers=1, threads=2)
    assert (found.provider, found.is_fallback) == (CPU, True)


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_the_cpu_is_no_fallback_where_nothing_else_is_meant(
    tiny_bundle: Bundle, device: str
) -> None:
    predictor = load(tiny_bundle, device)
    assert fallback(device, predictor) == ""
    found = runtime(device, predictor, workers=2, threads=1)
    assert found.model_dump() == {
        **{"device": device, "provider": CPU, "is_fallback": False},
        **{"onnxruntime": onnxruntime.__version__, "workers": 2, "threads": 1},
    }


def test_the_cpu_is_taken_on_a_machine_with_a_gpu_when_asked_for(
    built_for_gpus: None, tiny_bundle: Bundle
) -> None:
    assert not runtime("cpu", load(tiny_bundle, "cpu"), workers=1, threads=1).is_fallback


def test_one_of_several_gpus_is_named(built_for_gpus: None) -> None:
    assert providers_for("gpu:2") == [(CUDA, {"device_id": 2}), CPU]
    assert providers_for("cuda") == [(CUDA, {"device_id": 0}), CPU]
    assert providers_for("auto") == [(CUDA, {"device_id": 0}), CPU]
    assert (wanted("gpu:2"), wanted("auto"), wanted("cpu")) == (CUDA, CUDA, CPU)


@pytest.mark.parametrize("device", ["tpu", "gpu:", "CUDA", "cpu:1"])
def test_what_is_no_device_is_refused(device: str) -> None:
    with pytest.raises(SettingError, match="GRAFT_DEVICE"):
        Settings.from_environment({"GRAFT_DEVICE": device})
