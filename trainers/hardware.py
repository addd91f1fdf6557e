"""The devices that training runs on: choose them, describe them, and say why there is no GPU."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from plugins.weights import keras_home
from service.errors import GraftError
from service.system.resources import usable_cores
from trainers.progress import log

if TYPE_CHECKING:
    import tensorflow as tf

AMPERE = (8, 0)
"""Compute capability from which on GPUs have units for bfloat16 and TensorFloat-32."""
_LOG_PREFIX = re.compile(r"^(\S+ \S+ )?[IWEF]?[\d .:-]*\S*\.cc:\d+\] ")
"""What TensorFlow puts before each message: severity, time, thread, file and line."""
_GPU_WORDS = re.compile(r"cuda|cudnn|cuinit|gpu|dlopen", re.IGNORECASE)
_LIST_GPUS = "import tensorflow as tf; tf.config.list_physical_devices('GPU')"
_LIST_GPUS_SECONDS = 60


class DeviceError(GraftError):
    """The requested device is missing, or cannot be used in this process."""


def prepare(seed: int, device: str = "auto", precision: str = "float32") -> None:
    """Start TensorFlow, choose the devices, fix the seeds, and log what the run uses.

    Args:
        device: auto (all GPUs, else the CPU), cpu, gpu (all of them, at least one) or gpu:N.
        precision: as in `TrainingConfig`; all but float32 let GPUs multiply in TensorFloat-32.

    Raises:
        DeviceError: a requested GPU is missing, or TensorFlow already runs on other devices.
    """
    # The libraries read these once, when they are imported.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("KERAS_HOME", str(keras_home()))  # the default could be ./~
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _native_stderr_silenced():  # TensorFlow's C++ code logs before it can be told not to
        import tensorflow as tf

        gpus_present = tf.config.list_physical_devices("GPU")
    import keras

    tf.get_logger().setLevel("ERROR")  # its warnings concern the calls of tf2onnx, not the user's
    _set_visible_gpus(_choose_gpus(device, gpus_present))
    keras.utils.set_random_seed(seed)
    has_tensor_float = _all_have(AMPERE)
    tf.config.experimental.enable_tensor_float_32_execution(
        has_tensor_float and precision != "float32"
    )
    versions = f"TensorFlow {tf.__version__}, Keras {keras.__version__}"
    log.info("running on %s; %s", _describe(device, gpus_present), versions)
    if has_tensor_float:
        log.info("%s", _describe_tensor_float())


def devices() -> list[str]:
    """TensorFlow's names of the devices that compute: the GPUs in use, or else the CPU.

    The CPU is one device, unless the process has configured several logical ones.
    """
    return gpus() or _logical_devices("CPU")


def gpus() -> list[str]:
    """TensorFlow's names of the GPUs in use."""
    return _logical_devices("GPU")


def compute_capabilities() -> list[tuple[int, int]]:
    """CUDA's compute capability of each GPU in use; (0, 0) if unknown."""
    return [_details(gpu).get("compute_capability", (0, 0)) for gpu in _visible_gpus()]


def device_kind() -> str:
    """CPU, GPU, or GPU TF32 (GPUs with TensorFloat-32): each rounds differently."""
    import tensorflow as tf

    if not _visible_gpus():
        return "CPU"
    return "GPU TF32" if tf.config.experimental.tensor_float_32_execution_enabled() else "GPU"


@contextmanager
def full_float32() -> Iterator[None]:
    """Switch TensorFloat-32 off inside: its 10 bits of mantissa are too few to compare formats."""
    from tensorflow import config

    was_fast = config.experimental.tensor_float_32_execution_enabled()
    config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        config.experimental.enable_tensor_float_32_execution(was_fast)


def explain_missing_gpu() -> str:
    """The reason that TensorFlow gives for seeing no GPU.

    It logs the reason once, when it starts, so another process starts it again and reads its log.
    """
    import tensorflow as tf

    if not tf.test.is_built_with_gpu_support():
        return (
            "this TensorFlow is built without support for GPUs: "
            '`pip install -e ".[gpu]"` in place of `make setup` brings one with it'
        )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"}
    command = [sys.executable, "-c", _LIST_GPUS]
    try:
        process = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LIST_GPUS_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"TensorFlow did not finish looking for one within {_LIST_GPUS_SECONDS} s"
    return filter_gpu_messages(process.stderr) or "TensorFlow gives no reason"


def filter_gpu_messages(lines: str) -> str:
    """The messages about GPUs in a log of TensorFlow, each once, without time and place."""
    messages = [_LOG_PREFIX.sub("", line).strip(" .") for line in lines.splitlines()]
    return "; ".join(dict.fromkeys(text for text in messages if _GPU_WORDS.search(text)))


def _choose_gpus(
    device: str, present: list[tf.config.PhysicalDevice]
) -> list[tf.config.PhysicalDevice]:
    name, _, number = device.partition(":")
    if name == "cpu":
        return []
    if name == "gpu" and not present:
        raise DeviceError(f"--device {device}: TensorFlow finds no GPU: {explain_missing_gpu()}")
    if number and int(number) >= len(present):
        raise DeviceError(
            f"--device {device}: TensorFlow finds {len(present)}, gpu:0 to gpu:{len(present) - 1}"
            + ("; CUDA_VISIBLE_DEVICES hides others" * ("CUDA_VISIBLE_DEVICES" in os.environ))
        )
    return [present[int(number)]] if number else present


def _set_visible_gpus(chosen: list[tf.config.PhysicalDevice]) -> None:
    """Let TensorFlow use these GPUs only, and take their memory as it needs it."""
    import tensorflow as tf

    try:
        tf.config.set_visible_devices(chosen, "GPU")
        for gpu in chosen:
            if not tf.config.get_logical_device_configuration(gpu):
                tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError as error:
        raise DeviceError(
            f"TensorFlow already runs on other devices in this process ({error}): "
            "start another process for another --device"
        ) from error


def _describe(device: str, present: list[tf.config.PhysicalDevice]) -> str:
    names = [
        f"{_details(gpu).get('device_name', gpu.name)} (compute capability "
        f"{'.'.join(map(str, capability))})"
        for gpu, capability in zip(_visible_gpus(), compute_capabilities(), strict=True)
    ]
    if names:
        counted = {name: names.count(name) for name in names}
        return ", ".join(f"{n} x {name}" if n > 1 else name for name, n in counted.items())
    cpu = f"CPU ({usable_cores()} cores)"
    if present:
        return f"{cpu}, as --device {device} says"
    return cpu if device == "cpu" else f"{cpu}, no GPU found: {explain_missing_gpu()}"


def _describe_tensor_float() -> str:
    if device_kind() != "GPU TF32":
        return "GPUs multiply in full float32"
    return (
        "GPUs multiply in TensorFloat-32 (10 bits of mantissa), except for the export and its "
        "checks; --precision float32 switches that off"
    )


def _all_have(capability: tuple[int, int]) -> bool:
    return bool(_visible_gpus()) and min(compute_capabilities()) >= capability


def _visible_gpus() -> list[tf.config.PhysicalDevice]:
    import tensorflow as tf

    return list(tf.config.get_visible_devices("GPU"))


def _details(gpu: tf.config.PhysicalDevice) -> dict[str, Any]:
    import tensorflow as tf

    return dict(tf.config.experimental.get_device_details(gpu))


def _logical_devices(kind: str) -> list[str]:
    import tensorflow as tf

    return [device.name for device in tf.config.list_logical_devices(kind)]


@contextmanager
def _native_stderr_silenced() -> Iterator[None]:
    """Discard what is written to file descriptor 2; exceptions of Python pass."""
    original, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)
        os.close(null)
