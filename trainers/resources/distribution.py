"""The devices of fine-tuning: one device, or all GPUs of this host, but never several hosts."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from service.errors import GraftError
from trainers import hardware

if TYPE_CHECKING:
    import tensorflow as tf


class DistributionError(GraftError):
    """TF_CONFIG lists more than one task, or cannot be parsed."""


def refuse_several_hosts() -> None:
    """Check that the environment variable TF_CONFIG is not set, or lists at most one task.

    If a TF_CONFIG with several tasks were ignored, every host would train the whole model, and all
    of them would write to the same output folder.

    Raises:
        DistributionError: TF_CONFIG lists more than one task, or cannot be parsed.
    """
    tf_config = os.environ.get("TF_CONFIG", "")
    if not tf_config.strip():
        return
    try:
        tasks = json.loads(tf_config).get("cluster", {})
        count = sum(
            1 if isinstance(addresses, str) else len(addresses) for addresses in tasks.values()
        )
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DistributionError(
            f"TF_CONFIG (={tf_config!r}) cannot be parsed ({type(error).__name__}: {error}): "
            "unset this variable, because training runs on one host only"
        ) from error
    if count > 1:
        raise DistributionError(
            f"TF_CONFIG lists {count} tasks, but training runs on one host only: unset TF_CONFIG, "
            "and start one process on the host with the most GPUs"
        )


def choose_strategy() -> tf.distribute.Strategy:
    """Return TensorFlow's default strategy for one device, or MirroredStrategy for several."""
    import tensorflow as tf

    names = hardware.devices()
    is_one = len(names) == 1
    return tf.distribute.get_strategy() if is_one else tf.distribute.MirroredStrategy(names)
