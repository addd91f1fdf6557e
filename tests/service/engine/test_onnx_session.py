from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from service.bundle.reading import Bundle
from service.engine.onnx_session import CPU, CUDA, providers_for
from service.engine.predictor import Predictor


@pytest.mark.parametrize(
    "call", ["onnx_session.available_providers()", "device.preferred_provider('auto')"]
)
def test_onnxruntime_is_imported_with_telemetry_off(call: str) -> None:
    code = f"""
import os, sys
from service.engine import device, onnx_session
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            print(os.environ.get("ORT_DISABLE_TELEMETRY"))
sys.meta_path.insert(0, Watch())
{call}
"""
    environment = {name: v for name, v in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    command = [sys.executable, "-c", code]
    root = Path(__file__).parents[3]
    output = subprocess.check_output(command, env=environment, cwd=root, text=True)
    assert output.strip() == "1"


def test_cudas_libraries_are_not_loaded_for_the_cpu(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: pytest.fail("CUDA was looked for"))
    Predictor(tiny_bundle, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("has_gpu_build", [False, True])
def test_cudas_libraries_are_loaded_before_the_first_session(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, has_gpu_build: bool
) -> None:
    """GPU builds do not find the libraries themselves, and continue without a GPU."""
    order = []
    original_session = onnxruntime.InferenceSession

    def open_session(*arguments: object, **options: object) -> object:
        order.append("session")
        return original_session(*arguments, **{**options, "providers": ["CPUExecutionProvider"]})

    providers = ["CUDAExecutionProvider"] * has_gpu_build + ["CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: order.append("libraries"))
    monkeypatch.setattr(onnxruntime, "InferenceSession", open_session)
    Predictor(tiny_bundle, threads=1)
    assert order[:2] == (["libraries", "session"] if has_gpu_build else ["session"])


def test_providers_are_those_of_the_device_if_available(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    assert providers_for("auto") == providers_for("gpu") == [(CUDA, {"device_id": 0}), CPU]
    assert providers_for("gpu:3") == [(CUDA, {"device_id": 3}), CPU]
    assert providers_for("cpu") == [CPU]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])
    assert {*providers_for("auto"), *providers_for("gpu:3"), *providers_for("cpu")} == {CPU}
