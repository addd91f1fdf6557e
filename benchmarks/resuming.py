"""Kills training runs at random moments, resumes them, and compares them with an uninterrupted run.

    .venv/bin/python benchmarks/resuming.py [KILLS] [SEED] [OPTIONS OF trainers.run ...]

Each run that is killed starts with an empty cache, so some are killed while they decode pictures or
extract features. Two runs are "equal" if they have the same test and validation metrics, the same
history of both training phases, the same sentence that says which weights are exported, and the
same weights in the ONNX file, all bit for bit.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import onnx

DEFAULT_OPTIONS = ("--plugin", "pocket", "--data", "demo", "--image-size", "64")
DEFAULT_OPTIONS += ("--strategy", "fine-tune", "--fine-tune-epochs", "6")
COMPARED = ("test", "validation", "phases", "decision")


def main(kills: str = "20", seed: str = "0", *options: str) -> int:
    run_options = options or DEFAULT_OPTIONS
    rng = random.Random(int(seed))
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        expected, _ = run_training(Path(folder), "uninterrupted", run_options)
        seconds = time.monotonic() - started
        print(f"the uninterrupted run took {seconds:.1f} s")
        equal = 0
        for number in range(int(kills)):
            moment = rng.uniform(0, seconds)
            name = f"killed-{number}"
            _, last_line = run_training(Path(folder), name, run_options, kill_after=moment)
            resumed, _ = run_training(Path(folder), name, (*run_options, "--resume"))
            is_equal = resumed == expected
            equal += is_equal
            verdict = "equal" if is_equal else f"DIFFERENT: {differences(expected, resumed)}"
            kill = f"killed after {moment:.1f} s, at the log line `{last_line}`"
            print(f"{number + 1}. {kill}; after --resume: {verdict}", flush=True)
    print(f"resumed runs that equal the uninterrupted run: {equal} of {kills}")
    return 0 if equal == int(kills) else 1


def run_training(
    folder: Path, name: str, options: tuple[str, ...], kill_after: float | None = None
) -> tuple[dict[str, Any] | None, str]:
    """Run `trainers.run`; return its outcome (None if it wrote no bundle) and its last log line."""
    home = folder / name
    home.mkdir(exist_ok=True)
    folders = {"GRAFT_CACHE": f"{home}/cache", "BENTOML_HOME": f"{home}/bentoml"}
    command = [sys.executable, "-m", "trainers.run", *options, "--output", str(home / "out")]
    environment = {**os.environ, **folders, "TF_CPP_MIN_LOG_LEVEL": "3"}
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, stderr=log, stdout=log, env=environment)
        try:
            process.wait(kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    lines = (home / "log").read_text().splitlines() or [""]
    if process.returncode not in (0, -9):
        raise SystemExit(f"the run {name} ended with exit code {process.returncode}: {lines[-5:]}")
    bundles = [path for path in (home / "out").glob("classifier-*") if path.is_dir()]
    return (read_outcome(bundles[0]) if bundles else None), lines[-1][:60]


def read_outcome(bundle: Path) -> dict[str, Any]:
    metrics = json.loads((bundle / "metrics.json").read_text())
    weights = [array.raw_data for array in onnx.load(bundle / "model.onnx").graph.initializer]
    return {**{key: metrics[key] for key in COMPARED}, "weights": sorted(weights)}


def differences(expected: dict[str, Any] | None, actual: dict[str, Any] | None) -> list[str]:
    """Return the names of the parts in which two outcomes differ."""
    if expected is None or actual is None:
        return ["no bundle"]
    return [key for key in expected if expected[key] != actual[key]]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
