"""Compares Graft with other tools on the same pictures, from the same pretrained weights.

    python -m benchmarks.accuracy.run PLUGIN WEIGHTS FOLDER [SEEDS] [SIZES] [TOOLS] [--file FILE]

SEEDS, SIZES and TOOLS are separated by commas. A size is the number of training pictures of each
class, or `all`. Each seed draws other pictures. Every tool runs in its own process. Its times are
those of the whole process, without the times for classifying the test pictures.

Each result is appended to FILE, by default artifacts/bench-accuracy/PLUGIN-FOLDER.jsonl. Results
that are in FILE are not measured again, so a benchmark can be stopped and continued, or be done in
parts. The table has all results in FILE. For other weights or a changed Graft, use another FILE.

The tools are the files in `peers`. Those of PyTorch need the environment of `make bench-accuracy`,
and WEIGHTS of EfficientNet-Lite0, which they load into the same network of timm.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from argparse import RawTextHelpFormatter
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy import results
from benchmarks.accuracy.pictures import draw
from trainers.evaluation.calibration import calibration_error

PEERS = Path(__file__).parent / "peers"
ARTIFACTS = Path(__file__).parents[2] / "artifacts"
TORCH = ARTIFACTS / "peers-accuracy/bin/python"
TOOLS = {
    "graft": sys.executable,
    "tutorial": sys.executable,
    "fastai": str(TORCH),
    "timm": str(TORCH),
}
"""The Python interpreter of each tool."""


def main() -> int:
    options = parse()
    path = options.file or default_file(options.plugin, options.folder)
    failures = []
    for size, seed in product(options.sizes.split(","), options.seeds.split(",")):
        present = results.read(path)
        names = [name for name in options.tools.split(",") if (size, name, seed) not in present]
        if not names:
            continue
        with tempfile.TemporaryDirectory() as work:
            per_class = None if size == "all" else int(size)
            draw(options.folder, per_class, int(seed), Path(work) / "pictures")
            arguments = (options.plugin, options.weights, work, seed)
            failures += measure_each(names, path, size, arguments)
    print("\n".join(results.table(results.read(path))))
    for name in TOOLS:
        print(f"{name}: {count_lines(PEERS / f'{name}_tool.py')} lines of user code")
    print(f"The results are in {path}.", *failures, sep="\n", file=sys.stderr)
    return 1 if failures else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=RawTextHelpFormatter)
    parser.add_argument("plugin")
    parser.add_argument("weights")
    parser.add_argument("folder", type=Path)
    parser.add_argument("seeds", nargs="?", default="0,1,2,3,4")
    parser.add_argument("sizes", nargs="?", default="10,30,all")
    parser.add_argument("tools", nargs="?", default=",".join(TOOLS))
    parser.add_argument("--file", type=Path)
    options = parser.parse_args()
    for name in options.tools.split(","):
        if name not in TOOLS:
            parser.error(f"unknown tool {name}: choose from {', '.join(TOOLS)}")
    for size in options.sizes.split(","):
        if size != "all" and not size.isdecimal():
            parser.error(f"the size {size} is neither a number of pictures nor `all`")
    return options


def measure_each(
    names: list[str], path: Path, size: str, arguments: tuple[str, str, str, str]
) -> list[str]:
    """Run each tool on the same pictures, and append its result to a file.

    Args:
        names: the tools.
        path: the file.
        arguments: plugin, weights, folder of work and seed.

    Returns:
        A message for each tool that failed.
    """
    failures, seed = [], arguments[-1]
    for name in names:
        run = f"{name}, {size} pictures per class, seed {seed}"
        try:
            figures = measure(name, arguments)
        except (OSError, subprocess.CalledProcessError, ValueError, KeyError, TypeError) as error:
            failures.append(f"{run} failed: {error}")
            print(failures[-1], file=sys.stderr, flush=True)
            continue
        results.append(path, (size, name, seed), figures)
        print(f"{run}: {json.dumps(figures)}", file=sys.stderr, flush=True)
    return failures


def default_file(plugin: str, folder: Path) -> Path:
    """Return the file of results of a plugin and a folder of pictures."""
    name = f"{plugin.replace(':', '-')}-{folder.resolve().name}"
    return ARTIFACTS / "bench-accuracy" / f"{name}.jsonl"


def measure(name: str, arguments: tuple[str, ...]) -> dict[str, float]:
    """Run a tool; return its accuracy, log loss, calibration error, and the seconds it took.

    `CPU seconds` are those of the process and its children: other programs on the machine
    change them less than `seconds`.

    Raises:
        OSError, subprocess.CalledProcessError: the tool did not start, or failed.
        ValueError, KeyError, TypeError: the last line that the tool printed is not its result.
    """
    work = Path(arguments[2])
    environment = {
        **os.environ,
        "GRAFT_CACHE": f"{work}/cache",
        "BENTOML_HOME": f"{work}/bentoml",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [TOOLS[name], str(PEERS / f"{name}_tool.py"), *arguments]
    started, cpu_started = time.monotonic(), cpu_seconds_of_children()
    completed = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    seconds = time.monotonic() - started
    cpu_seconds = cpu_seconds_of_children() - cpu_started
    result = json.loads(completed.stdout.strip().rpartition("\n")[2])
    probabilities, labels = np.array(result["probabilities"]), np.array(result["labels"])
    true = probabilities[np.arange(len(labels)), labels]
    hits = probabilities.argmax(axis=1) == labels
    return {
        "accuracy": float(hits.mean()),
        "log loss": float(-np.log(np.clip(true, 1e-7, 1)).mean()),
        "calibration error": calibration_error(probabilities.max(axis=1), hits),
        "seconds": seconds - result["test_seconds"],
        "CPU seconds": cpu_seconds - result["test_cpu_seconds"],
    }


def cpu_seconds_of_children() -> float:
    """Return the user and system seconds of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def count_lines(path: Path) -> int:
    """Count the lines of the function `train` that a user would write, without its docstring."""
    tree: Any = ast.parse(path.read_text(encoding="utf-8"))
    function = next(node for node in tree.body if getattr(node, "name", "") == "train")
    return int(function.end_lineno) - int(function.body[1].lineno) + 1


if __name__ == "__main__":
    sys.exit(main())
