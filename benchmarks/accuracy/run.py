"""Compares Graft with other tools on the same pictures, from the same pretrained weights.

    .venv/bin/python -m benchmarks.accuracy.run PLUGIN WEIGHTS FOLDER [SEEDS] [SIZES] [TOOLS]

SEEDS, SIZES and TOOLS are separated by commas. A size is the number of training pictures of each
class, or `all`. Each seed draws other pictures. Every tool runs in its own process. Its time is
that of the whole process, without the time for classifying the test pictures.

The tools are the files in `peers`. Those of PyTorch need the environment of `make bench-accuracy`,
and WEIGHTS of EfficientNet-Lite0, which they load into the same network of timm.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.pictures import draw
from trainers.evaluation.calibration import calibration_error

HERE = Path(__file__).parent
TORCH = HERE.parents[1] / "artifacts/peers-accuracy/bin/python"
TOOLS = {
    "graft": sys.executable,
    "tutorial": sys.executable,
    "fastai": str(TORCH),
    "timm": str(TORCH),
}
"""The Python interpreter of each tool."""
Z95 = 1.96


def main(
    plugin: str,
    weights: str,
    folder: str,
    seeds: str = "0,1,2,3,4",
    sizes: str = "10,30,all",
    tools: str = ",".join(TOOLS),
) -> None:
    print("| pictures per class | tool | accuracy | less than Graft | log loss | ECE | minutes |")
    print("|---" * 7 + "|")
    names = tools.split(",")
    for size in sizes.split(","):
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for seed in seeds.split(","):
            with tempfile.TemporaryDirectory() as work:
                per_class = None if size == "all" else int(size)
                draw(Path(folder), per_class, int(seed), Path(work) / "pictures")
                for name in names:
                    figures = measure(name, (plugin, weights, work, seed))
                    rows[name].append(figures)
                    print(size, seed, name, json.dumps(figures), file=sys.stderr, flush=True)
        for name in names:
            print(f"| {size} | {name} | " + " | ".join(summarise(rows, name)) + " |", flush=True)
    for name in names:
        print(f"{name}: {count_lines(HERE / 'peers' / f'{name}_tool.py')} lines of user code")


def measure(name: str, arguments: tuple[str, ...]) -> dict[str, float]:
    """Run a tool; return its accuracy, log loss, calibration error and seconds."""
    work = Path(arguments[2])
    environment = {
        **os.environ,
        "GRAFT_CACHE": f"{work}/cache",
        "BENTOML_HOME": f"{work}/bentoml",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [TOOLS[name], str(HERE / "peers" / f"{name}_tool.py"), *arguments]
    started = time.monotonic()
    completed = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    seconds = time.monotonic() - started
    result = json.loads(completed.stdout.splitlines()[-1])
    probabilities, labels = np.array(result["probabilities"]), np.array(result["labels"])
    true = probabilities[np.arange(len(labels)), labels]
    hits = probabilities.argmax(axis=1) == labels
    return {
        "accuracy": float(hits.mean()),
        "log loss": float(-np.log(np.clip(true, 1e-7, 1)).mean()),
        "calibration error": calibration_error(probabilities.max(axis=1), hits),
        "seconds": seconds - result["test_seconds"],
    }


def summarise(rows: dict[str, list[dict[str, float]]], name: str) -> list[str]:
    """Return the cells of a tool: means over the seeds, with 95% intervals of the accuracies."""

    def column(key: str, tool: str = name) -> NDArray[np.float64]:
        return np.array([row[key] for row in rows[tool]])

    def interval(values: NDArray[np.float64]) -> str:
        if len(values) < 2:
            return f"{values.mean():.3f}"
        margin = Z95 * values.std(ddof=1) / np.sqrt(len(values))
        return f"{values.mean():.3f} +-{margin:.3f}"

    difference = column("accuracy", next(iter(rows))) - column("accuracy")
    return [
        interval(column("accuracy")),
        interval(difference),
        f"{column('log loss').mean():.3f}",
        f"{column('calibration error').mean():.3f}",
        f"{column('seconds').mean() / 60:.2f}",
    ]


def count_lines(path: Path) -> int:
    """Count the lines of the function `train` that a user would write, without its docstring."""
    tree: Any = ast.parse(path.read_text(encoding="utf-8"))
    function = next(node for node in tree.body if getattr(node, "name", "") == "train")
    return int(function.end_lineno) - int(function.body[1].lineno) + 1


if __name__ == "__main__":
    main(*sys.argv[1:])
