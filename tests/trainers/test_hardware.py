"""Which devices are used. TensorFlow's answers about GPUs are faked; logical CPUs are real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import tensorflow as tf

from trainers import hardware
from trainers.cli.validation import validate
from trainers.config import ConfigError
from trainers.hardware import (
    DeviceError,
    device_kind,
    filter_gpu_messages,
    prepare,
    without_tensor_float_32,
)
from trainers.progress import log
from trainers.resources.distribution import choose_strategy

DrawFolder = Callable[..., Path]
ROOT = Path(__file__).parents[2]


class Gpu(NamedTuple):
    name: str
    capability: tuple[int, int]


class Machine:
    """TensorFlow's answers on a machine with GPUs."""

    def __init__(self, *capabilities: tuple[int, int]) -> None:
        self.gpus = [
            Gpu(f"GPU:{index}", capability) for index, capability in enumerate(capabilities)
        ]
        self.visible, self.growing = self.gpus, []

    def set_visible(self, gpus: list[Gpu], kind: str) -> None:
        self.visible = gpus

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: self.gpus)
        monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: self.visible)
        monkeypatch.setattr(tf.config, "set_visible_devices", self.set_visible)
        monkeypatch.setattr(tf.config, "get_logical_device_configuration", lambda gpu: None)
        monkeypatch.setattr(
            tf.config,
            "list_logical_devices",
            lambda kind: self.visible if kind == "GPU" else ["CPU"],
        )
        experimental = tf.config.experimental
        monkeypatch.setattr(
            experimental, "set_memory_growth", lambda gpu, grows: self.growing.append(gpu)
        )
        monkeypatch.setattr(
            experimental,
            "get_device_details",
            lambda gpu: {"device_name": "Card", "compute_capability": gpu.capability},
        )


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Machine]]:
    def machine(*capabilities: tuple[int, int]) -> Machine:
        machine = Machine(*capabilities)
        machine.patch(monkeypatch)
        return machine

    yield machine
    tf.config.experimental.enable_tensor_float_32_execution(False)


@pytest.fixture(autouse=True)
def log_capture(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    log.addHandler(caplog.handler)
    level = log.level
    log.setLevel("INFO")
    yield caplog
    log.setLevel(level)
    log.removeHandler(caplog.handler)


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("auto", ["GPU:0", "GPU:1"]),
        ("gpu", ["GPU:0", "GPU:1"]),
        ("gpu:1", ["GPU:1"]),
        ("cpu", []),
    ],
)
def test_the_requested_devices_are_used(
    machine: Callable[..., Machine], device: str, expected: list[str]
) -> None:
    fake_machine = machine((8, 0), (8, 0))
    prepare(0, device)
    assert hardware.gpus() == expected
    assert [gpu.name for gpu in fake_machine.growing] == expected


@pytest.mark.parametrize("device", ["gpu:2", "gpu:10"])
def test_a_missing_gpu_number_is_refused_with_the_existing_numbers(
    machine: Callable[..., Machine], device: str
) -> None:
    machine((8, 0), (8, 0))
    with pytest.raises(
        DeviceError,
        match=f"--device {device}: there is no such GPU; TensorFlow finds gpu:0 to gpu:1",
    ):
        prepare(0, device)


@pytest.mark.parametrize("device", ["gpu", "gpu:0"])
def test_a_missing_gpu_is_refused_with_the_reason(device: str) -> None:
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU here")
    with pytest.raises(DeviceError, match=f"--device {device}: TensorFlow finds no GPU: .*GPU"):
        prepare(0, device)


def test_a_missing_gpu_that_was_not_requested_is_logged_with_the_reason(
    machine: Callable[..., Machine],
    monkeypatch: pytest.MonkeyPatch,
    log_capture: pytest.LogCaptureFixture,
) -> None:
    machine()
    monkeypatch.setattr(hardware, "explain_missing_gpu", lambda: "cuInit failed")
    prepare(0)
    assert "), no GPU found: cuInit failed" in log_capture.text
    assert device_kind() == "CPU"
    log_capture.clear()
    prepare(0, "cpu")
    assert "no GPU" not in log_capture.text


def test_a_command_ends_with_2_if_its_gpu_is_missing(
    tmp_path: Path, draw_folder: DrawFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    from trainers.run import main

    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU here")
    folder = draw_folder(tmp_path / "pictures", red=4, blue=4)
    options = ["--plugin", "tiny", "--weights", "none", "--data", str(folder)]
    assert main([*options, "--output", str(tmp_path / "out"), "--device", "gpu:3"]) == 2
    assert "graft: --device gpu:3: TensorFlow finds no GPU: " in capsys.readouterr().err


@pytest.mark.parametrize("device", ["gpu:", "gpu:x", "GPU", "cuda", "gpu:-1", "1", ""])
def test_an_unknown_device_is_refused(device: str) -> None:
    with pytest.raises(ConfigError, match="--device"):
        validate({"plugin": "tiny", "device": device})


@pytest.mark.parametrize(
    ("capabilities", "precision", "expected"),
    [
        ([(8, 0)], "auto", "GPU TF32"),
        ([(8, 0)], "bfloat16", "GPU TF32"),
        ([(8, 0)], "float32", "GPU"),
        ([(8, 0), (7, 5)], "auto", "GPU"),
        ([(7, 5)], "auto", "GPU"),
        ([], "auto", "CPU"),
    ],
)
def test_tensorfloat_32_is_on_if_precision_allows_and_logged(
    machine: Callable[..., Machine],
    log_capture: pytest.LogCaptureFixture,
    capabilities: list[tuple[int, int]],
    precision: str,
    expected: str,
) -> None:
    machine(*capabilities)
    prepare(0, "auto", precision)
    assert device_kind() == expected
    assert ("multiply in TensorFloat-32" in log_capture.text) == (expected == "GPU TF32")
    is_on = tf.config.experimental.tensor_float_32_execution_enabled
    with without_tensor_float_32():
        assert not is_on(), "export and parity"
    assert is_on() == (expected == "GPU TF32")


def test_several_gpus_are_mirrored_and_counted(
    machine: Callable[..., Machine],
    monkeypatch: pytest.MonkeyPatch,
    log_capture: pytest.LogCaptureFixture,
) -> None:
    machine((8, 0), (8, 0), (7, 0))
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda names: names)
    prepare(0)
    assert choose_strategy() == ["GPU:0", "GPU:1", "GPU:2"]
    assert (
        "running on 2 x Card (compute capability 8.0), Card (compute capability 7.0)"
        in log_capture.text
    )
    prepare(0, "gpu:1")
    assert not tf.distribute.has_strategy()
    assert choose_strategy() is tf.distribute.get_strategy()


def test_messages_about_gpus_are_filtered_from_tensorflows_log() -> None:
    stderr = """WARNING: All log messages before absl::InitializeLog() are written to STDERR
I0000 00:00:1795963127.8 10435 port.cc:153] oneDNN custom operations are on.
I0000 00:00:1795963127.8 10435 cudart_stub.cc:31] Could not find cuda drivers on your machine.
I0000 00:00:1795963127.9 10435 cpu_feature_guard.cc:227] This TensorFlow binary is optimized.
I0000 00:00:1795963136.8 10435 cudart_stub.cc:31] Could not find cuda drivers on your machine.
E0000 00:00:1795963138.4 10435 cuda_platform.cc:52] failed call to cuInit: UNKNOWN ERROR (303)
2026-11-29 12:00:00.000001: W tensorflow/core/gpu_device.cc:2343] Cannot dlopen some GPU libraries.
"""
    assert filter_gpu_messages(stderr) == (
        "Could not find cuda drivers on your machine; failed call to cuInit: UNKNOWN ERROR (303); "
        "Cannot dlopen some GPU libraries"
    )


TWO_DEVICES = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
import conftest  # registers the tiny backbone
import tensorflow as tf
logical = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], logical)
from trainers.run import main
sys.exit(main())
"""


@pytest.mark.long
@pytest.mark.slow
def test_a_run_on_two_devices_takes_a_batch_on_each(
    tmp_path: Path, draw_folder: DrawFolder
) -> None:
    folder = draw_folder(tmp_path / "pictures", red=130, blue=130)
    options = ["--plugin", "tiny", "--weights", "none", "--strategy", "fine-tune"]
    options += ["--data", str(folder), "--output", str(tmp_path)]
    options += ["--batch-size", "4", "--fine-tune-epochs", "2", "--fine-tune-layers", "2"]
    command = [sys.executable, "-c", TWO_DEVICES, *options, "--precision", "float16"]
    completed = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ}
    )
    assert completed.returncode == 0, completed.stderr
    assert "global batch size: 8; number of devices: 2" in completed.stderr
    assert "with the dtype policy mixed_float16\n" in completed.stderr
    assert (
        "the exported ONNX model runs in ONNX Runtime on CPUExecutionProvider" in completed.stderr
    )
    metrics = json.loads((Path(completed.stdout.splitlines()[-1]) / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] > 0.9
    assert len(metrics["phases"]["fine-tuning"]) == 2
