"""What training runs on."""

from __future__ import annotations

import os

import keras
import tensorflow as tf

from trainers.progress import log


def prepare(seed: int) -> None:
    """Fix the seeds of Python, numpy and TensorFlow, and say which processor will work."""
    keras.utils.set_random_seed(seed)
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)  # leave room for others on the card
    names = [tf.config.experimental.get_device_details(gpu).get("device_name") for gpu in gpus]
    where = ", ".join(str(name) for name in names) or f"CPU ({os.cpu_count()} cores), no GPU found"
    log.info("running on %s; TensorFlow %s, Keras %s", where, tf.__version__, keras.__version__)
