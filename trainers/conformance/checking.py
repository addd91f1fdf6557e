"""The table of promises, and the function that checks all of them on one backbone.

A promise is something that training or export expects of every backbone.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from plugins.base import Backbone
from service.system.interrupts import cleanup_on_signal
from trainers.conformance import export_promises, network_promises, training_promises
from trainers.conformance.trial import Promise, Result, try_promises

PROMISES: dict[str, Promise] = {
    "parameters": network_promises.check_parameters,
    "smallest size": network_promises.check_smallest_size,
    "scaling": network_promises.check_scaling,
    "determinism": network_promises.check_determinism,
    "freezing": training_promises.check_freezing,
    "fine-tuning": training_promises.check_fine_tuning,
    "training": training_promises.check_training,
    "weights file": training_promises.check_weights_file,
    "copies": training_promises.check_copies,
    "export": export_promises.check_export,
    "parity": export_promises.check_parity,
    "heat maps": export_promises.check_heat_maps,
}
"""The checks by the name of the promise, in the order in which they run.

Before these checks, `try_promises` loads the network and checks the shapes of its input and output.
If that fails, the checks listed here do not run.
"""


def check_backbone(backbone: Backbone, size: int | None = None) -> Iterator[Result]:
    """Load a backbone with random weights, and check every promise. This takes about a minute.

    Args:
        size: side of the pictures in pixels; None means 64, or the next size that the backbone
            accepts.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        cleanup_on_signal(lambda: shutil.rmtree(folder)),
    ):
        yield from try_promises(backbone, Path(folder), PROMISES, size)
