"""Runs a tool: trains, classifies the test pictures, and prints the answers as a line of JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def run(
    train: Callable[[str, str, Path, int], Any],
    classify: Callable[[Any, Path], tuple[list[list[float]], list[int]]],
) -> None:
    """Train with the arguments of the command line, and print the answers for the test pictures.

    The line also has the seconds and the CPU seconds of `classify`.

    Args:
        train: makes a model from plugin, weights, folder of work and seed. The training pictures
            are work/pictures/train/CLASS/*.
        classify: returns the probabilities and the true labels of the pictures in a folder, from
            the model and the folder of the test pictures.
    """
    plugin, weights, work, seed = sys.argv[1:]
    model = train(plugin, weights, Path(work), int(seed))
    started, cpu_started = time.monotonic(), _cpu_seconds()
    probabilities, labels = classify(model, Path(work, "pictures", "test"))
    result = {
        "probabilities": probabilities,
        "labels": labels,
        "test_seconds": time.monotonic() - started,
        "test_cpu_seconds": _cpu_seconds() - cpu_started,
    }
    print(json.dumps(result))


def _cpu_seconds() -> float:
    """Return the user and system seconds of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
