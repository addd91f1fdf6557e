"""What training runs on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from plugins.weights import keras_home
from trainers.progress import log


def prepare(seed: int) -> None:
    """Start TensorFlow, fix the seeds, and say which processor will work."""
    # Read once, when the libraries are imported.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("KERAS_HOME", str(keras_home()))  # TensorFlow's own would make it in ./~
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _without_native_stderr():  # TensorFlow's C++ side greets before it can be told not to
        import tensorflow as tf
    import keras

    tf.get_logger().setLevel("ERROR")  # its warnings are about tf2onnx' calls, not the user's
    keras.utils.set_random_seed(seed)
    # 10 bits of mantissa are too few for the parity check, and for equal features everywhere.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)  # leave room for others on the card
    names = [tf.config.experimental.get_device_details(gpu).get("device_name") for gpu in gpus]
    where = ", ".join(str(name) for name in names) or f"CPU ({os.cpu_count()} cores), no GPU found"
    log.info("running on %s; TensorFlow %s, Keras %s", where, tf.__version__, keras.__version__)


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
