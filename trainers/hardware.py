"""What training runs on: which devices, how many numbers they keep, and why there is no GPU."""

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
_PREFIX = re.compile(r"^(\S+ \S+ )?[IWEF]?[\d .:-]*\S*\.cc:\d+\] ")
"""What TensorFlow puts before its words: severity, time, thread, file and line."""
_ABOUT_GPUS = re.compile(r"cuda|cudnn|cuinit|gpu|dlopen", re.IGNORECASE)
_ASK = "import tensorflow as tf; tf.config.list_physical_devices('GPU')"
_ASK_SECONDS = 60


class DeviceError(GraftError):
    """The device that was asked for is not there."""


def prepare(seed: int, device: str = "auto", precision: str = "float32") -> None:
    """Start TensorFlow, choose the devices, fix the seeds, and say what will work, and how.

    Args:
        device: auto (all GPUs, else the CPU), cpu, gpu (all of them, at least one) or gpu:N.
        precision: as `TrainingConfig` has it; all but float32 let GPUs multiply by TensorFloat-32.

    Raises:
        DeviceError: a GPU was asked for that is not there, or TensorFlow already runs on others.
    """
    # Read once, when the libraries are imported.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("KERAS_HOME", str(keras_home()))  # TensorFlow's own would make it in ./~
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _without_native_stderr():  # TensorFlow's C++ side greets before it can be told not to
        import tensorflow as tf

        found = tf.config.list_physical_devices("GPU")
    import keras

    tf.get_logger().setLevel("ERROR")  # its warnings are about tf2onnx' calls, not the user's
    _show(_choose(device, found))
    keras.utils.set_random_seed(seed)
    has_units = _all_have(AMPERE)
    tf.config.experimental.enable_tensor_float_32_execution(has_units and precision != "float32")
    versions = f"TensorFlow {tf.__version__}, Keras {keras.__version__}"
    log.info("running on %s; %s", _describe(device, found), versions)
    if has_units:
        log.info("%s", _precise_words())


def devices() -> list[str]:
    """TensorFlow's names of the devices that compute: the GPUs, else the CPU, which is one unless
    somebody has made logical devices of it."""
    return gpus() or _logical("CPU")


def gpus() -> list[str]:
    """TensorFlow's names of the GPUs in use."""
    return _logical("GPU")


def capabilities() -> list[tuple[int, int]]:
    """CUDA's compute capability of each GPU in use; (0, 0) where none is known."""
    return [_details(gpu).get("compute_capability", (0, 0)) for gpu in _visible()]


def kind() -> str:
    """What rounds differently: CPU, GPU, or GPU with TensorFloat-32."""
    import tensorflow as tf

    if not _visible():
        return "CPU"
    return "GPU TF32" if tf.config.experimental.tensor_float_32_execution_enabled() else "GPU"


@contextmanager
def exactly() -> Iterator[None]:
    """Multiply in whole float32 inside: 10 bits of mantissa are too few for comparing formats."""
    from tensorflow import config

    was_fast = config.experimental.tensor_float_32_execution_enabled()
    config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        config.experimental.enable_tensor_float_32_execution(was_fast)


def why_no_gpu() -> str:
    """TensorFlow's own words on why it sees no GPU.

    It writes them once, when it starts, among much else, and cannot be told to be silent later: so
    another process starts it again and listens.
    """
    import tensorflow as tf

    if not tf.test.is_built_with_gpu_support():
        return (
            "this TensorFlow is built without support for GPUs: "
            '`pip install -e ".[gpu]"` in place of `make setup` brings one with it'
        )
    loud = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"}
    command = [sys.executable, "-c", _ASK]
    try:
        asked = subprocess.run(
            command, env=loud, capture_output=True, text=True, timeout=_ASK_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"TensorFlow has not come to an end in {_ASK_SECONDS} s of looking for one"
    return words_about_gpus(asked.stderr) or "TensorFlow does not say why"


def words_about_gpus(lines: str) -> str:
    """What TensorFlow's log says of GPUs, each thing once, without times and places."""
    words = [_PREFIX.sub("", line).strip(" .") for line in lines.splitlines()]
    return "; ".join(dict.fromkeys(word for word in words if _ABOUT_GPUS.search(word)))


def _choose(device: str, found: list[tf.config.PhysicalDevice]) -> list[tf.config.PhysicalDevice]:
    name, _, number = device.partition(":")
    if name == "cpu":
        return []
    if name == "gpu" and not found:
        raise DeviceError(f"--device {device}: TensorFlow finds no GPU: {why_no_gpu()}")
    if number and int(number) >= len(found):
        raise DeviceError(
            f"--device {device}: TensorFlow finds {len(found)}, gpu:0 to gpu:{len(found) - 1}"
            + ("; CUDA_VISIBLE_DEVICES hides others" * ("CUDA_VISIBLE_DEVICES" in os.environ))
        )
    return [found[int(number)]] if number else found


def _show(chosen: list[tf.config.PhysicalDevice]) -> None:
    """Let TensorFlow use these GPUs alone, and leave room for others on them."""
    import tensorflow as tf

    try:
        tf.config.set_visible_devices(chosen, "GPU")
        for gpu in chosen:
            if not tf.config.get_logical_device_configuration(gpu):
                tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError as error:
        raise DeviceError(
            f"TensorFlow already runs on other devices in this process ({error}): "
            "another --device needs another process"
        ) from error


def _describe(device: str, found: list[tf.config.PhysicalDevice]) -> str:
    names = [
        f"{_details(gpu).get('device_name', gpu.name)} (compute capability "
        f"{'.'.join(map(str, capability))})"
        for gpu, capability in zip(_visible(), capabilities(), strict=True)
    ]
    if names:
        counted = {name: names.count(name) for name in names}
        return ", ".join(f"{n} x {name}" if n > 1 else name for name, n in counted.items())
    cpu = f"CPU ({usable_cores()} cores)"
    if found:
        return f"{cpu}, as --device {device} says"
    return cpu if device == "cpu" else f"{cpu}, no GPU found: {why_no_gpu()}"


def _precise_words() -> str:
    if kind() != "GPU TF32":
        return "GPUs multiply in whole float32"
    return (
        "GPUs multiply by TensorFloat-32 (10 bits of mantissa), but for the export and its checks; "
        "--precision float32 switches that off"
    )


def _all_have(capability: tuple[int, int]) -> bool:
    return bool(_visible()) and min(capabilities()) >= capability


def _visible() -> list[tf.config.PhysicalDevice]:
    import tensorflow as tf

    return list(tf.config.get_visible_devices("GPU"))


def _details(gpu: tf.config.PhysicalDevice) -> dict[str, Any]:
    import tensorflow as tf

    return dict(tf.config.experimental.get_device_details(gpu))


def _logical(kind: str) -> list[str]:
    import tensorflow as tf

    return [one.name for one in tf.config.list_logical_devices(kind)]


@contextmanager
def _without_native_stderr() -> Iterator[None]:
    """Nothing written to file descriptor 2 appears; Python's exceptions pass as ever."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
