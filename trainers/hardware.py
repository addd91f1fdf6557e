"""Chooses and describes the devices for training, and explains why TensorFlow finds no GPU."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from plugins.weights import set_keras_environment
from service.errors import GraftError
from service.system.resources import usable_cores
from trainers.progress import log

if TYPE_CHECKING:
    import tensorflow as tf

AMPERE = (8, 0)
"""The lowest compute capability of GPUs that support bfloat16 and TensorFloat-32 in hardware."""
_LOG_PREFIX = re.compile(r"^(\S+ \S+ )?[IWEF]?[\d .:-]*\S*\.cc:\d+\] ")
"""The start of each log line of TensorFlow: severity, time, thread, file and line."""
_GPU_WORDS = re.compile(r"cuda|cudnn|cuinit|gpu|dlopen", re.IGNORECASE)
_LIST_GPUS = "import tensorflow as tf; tf.config.list_physical_devices('GPU')"
_LIST_GPUS_SECONDS = 60


class DeviceError(GraftError):
    """The requested device is missing, or cannot be used in this process."""


def prepare(seed: int, device: str = "auto", precision: str = "float32") -> None:
    """Start TensorFlow, choose the devices, set the seeds, and log what the run uses.

    Args:
        seed: seed for the random numbers of Python, NumPy and Keras.
        device: auto (all GPUs, or the CPU if there are none), cpu, gpu (all GPUs, at least one) or
            gpu:N (one GPU).
        precision: as in `TrainingConfig`. With "float32", GPUs multiply in full float32; with all
            other values, they multiply in TensorFloat-32 if all GPUs in use support it.

    Raises:
        DeviceError: a requested GPU is missing, or TensorFlow already runs on other devices.
    """
    set_keras_environment()
    with _native_stderr_silenced():  # TensorFlow's C++ code logs before its log level applies
        import tensorflow as tf

        gpus_present = tf.config.list_physical_devices("GPU")
    import keras

    tf.get_logger().setLevel("ERROR")  # its warnings are about calls by tf2onnx
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
    """TensorFlow's names of the devices in use: the GPUs, or the CPU if no GPU is used.

    The CPU is one device, unless this process has configured several logical CPUs.
    """
    return gpus() or _logical_devices("CPU")


def gpus() -> list[str]:
    """TensorFlow's names of the GPUs in use."""
    return _logical_devices("GPU")


def compute_capabilities() -> list[tuple[int, int]]:
    """CUDA's compute capability of each GPU in use; (0, 0) if unknown."""
    return [_details(gpu).get("compute_capability", (0, 0)) for gpu in _visible_gpus()]


def device_kind() -> str:
    """The kind of the devices in use: "CPU", "GPU", or "GPU TF32" for GPUs that use TensorFloat-32.

    Each kind rounds differently, so the cache keeps features of each kind separately.
    """
    import tensorflow as tf

    if not _visible_gpus():
        return "CPU"
    return "GPU TF32" if tf.config.experimental.tensor_float_32_execution_enabled() else "GPU"


@contextmanager
def without_tensor_float_32() -> Iterator[None]:
    """Switch TensorFloat-32 off inside the `with` block.

    TensorFloat-32 is not precise enough for comparing export formats with the trained model.
    """
    from tensorflow import config

    was_enabled = config.experimental.tensor_float_32_execution_enabled()
    config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        config.experimental.enable_tensor_float_32_execution(was_enabled)


def explain_missing_gpu() -> str:
    """Return the reason why TensorFlow finds no GPU.

    TensorFlow logs the reason only when it starts. So this function starts TensorFlow in a new
    process and reads the log of that process.
    """
    import tensorflow as tf

    if not tf.test.is_built_with_gpu_support():
        return (
            "this TensorFlow was built without GPU support (if this machine has a GPU of NVIDIA, "
            "see the section GPUs of docs/training.md)"
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
        return f"TensorFlow did not finish its search for GPUs within {_LIST_GPUS_SECONDS} s"
    return filter_gpu_messages(process.stderr) or "TensorFlow gives no reason"


def filter_gpu_messages(log_text: str) -> str:
    """Return the messages about GPUs in a log of TensorFlow, each once and without its prefix."""
    messages = [_LOG_PREFIX.sub("", line).strip(" .") for line in log_text.splitlines()]
    return "; ".join(dict.fromkeys(text for text in messages if _GPU_WORDS.search(text)))


def _choose_gpus(
    device: str, present: list[tf.config.PhysicalDevice]
) -> list[tf.config.PhysicalDevice]:
    name, _, number = device.partition(":")
    if name == "cpu":
        return []
    if name == "gpu" and not present:
        raise DeviceError(
            f"--device {device}: TensorFlow finds no GPU: {explain_missing_gpu()}. To train on the "
            "CPU, use --device cpu"
        )
    if number and int(number) >= len(present):
        raise DeviceError(
            f"--device {device}: there is no such GPU; TensorFlow finds {_list_gpus(len(present))}"
            + ("; CUDA_VISIBLE_DEVICES may hide others" * ("CUDA_VISIBLE_DEVICES" in os.environ))
        )
    return [present[int(number)]] if number else present


def _list_gpus(count: int) -> str:
    return "gpu:0 only" if count == 1 else f"gpu:0 to gpu:{count - 1}"


def _set_visible_gpus(chosen: list[tf.config.PhysicalDevice]) -> None:
    """Restrict TensorFlow to these GPUs, and make it allocate their memory only as needed."""
    import tensorflow as tf

    try:
        tf.config.set_visible_devices(chosen, "GPU")
        for gpu in chosen:
            if not tf.config.get_logical_device_configuration(gpu):
                tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError as error:
        raise DeviceError(
            f"TensorFlow already runs on other devices in this process ({error}): start a new "
            "process to use another --device"
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
    cpu = f"CPU ({usable_cores()} core{'s' * (usable_cores() != 1)})"
    if present:
        return f"{cpu}, because of --device {device}"
    return cpu if device == "cpu" else f"{cpu}, no GPU found: {explain_missing_gpu()}"


def _describe_tensor_float() -> str:
    if device_kind() != "GPU TF32":
        return "the GPUs multiply in full float32"
    return (
        "the GPUs multiply in TensorFloat-32 (10 bits of mantissa), except for the export and its "
        "checks; --precision float32 switches TensorFloat-32 off"
    )


def _all_have(capability: tuple[int, int]) -> bool:
    """Whether GPUs are in use, and all of them have at least this compute capability."""
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
    """Discard all output to stderr inside the `with` block, even that of C++ code."""
    original, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)
        os.close(null)
