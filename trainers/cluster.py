"""Which devices fine-tune together: one, or all GPUs of this host, but never several hosts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from service.errors import GraftError
from trainers import hardware

if TYPE_CHECKING:
    import tensorflow as tf

VARIABLE = "TF_CONFIG"
STOPPED = 75
"""Exit code of a run that was stopped and can be resumed (EX_TEMPFAIL of sysexits.h)."""


class ClusterError(GraftError):
    """TF_CONFIG asks for training on several hosts."""


def refuse_several_hosts(tf_config: str | None) -> None:
    """Check that TF_CONFIG, if it is set, lists this process alone.

    Ignoring it would let every host train the whole model by itself, into the same output folder.

    Args:
        tf_config: the value of TF_CONFIG; None if it is not set.

    Raises:
        ClusterError: it lists more than one task, or cannot be read.
    """
    if not tf_config or not tf_config.strip():
        return
    try:
        tasks = json.loads(tf_config).get("cluster", {})
        count = sum(len(addresses) for addresses in tasks.values())
    except (ValueError, TypeError, AttributeError) as error:
        raise ClusterError(
            f"{VARIABLE} (={tf_config!r}) cannot be read ({type(error).__name__}: {error}): "
            "unset it; training runs on one host"
        ) from error
    if count > 1:
        raise ClusterError(
            f"{VARIABLE} lists {count} tasks, but training runs on one host, with one or several "
            f"GPUs: unset {VARIABLE} and start one process on the host with the most GPUs"
        )


def strategy() -> tf.distribute.Strategy:
    """Choose TensorFlow's strategy: its default one for one device, mirrored for several."""
    import tensorflow as tf

    names = hardware.devices()
    is_one = len(names) == 1
    return tf.distribute.get_strategy() if is_one else tf.distribute.MirroredStrategy(names)
