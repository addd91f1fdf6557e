"""Kill a run at random moments, resume it, and compare what it ends in with a run left alone.

.venv/bin/python benchmarks/resuming.py [KILLS] [SEED] [OPTIONS OF trainers.run ...]

Each run begins with an empty cache, so kills hit decoding and extraction, too. "Equal" is bit for
bit: accuracies, histories of both phases, the decision, and every weight in the ONNX file.
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

DEFAULT = ("--plugin", "pocket", "--data", "demo", "--image-size", "64")
DEFAULT += ("--strategy", "fine-tune", "--fine-tune-epochs", "6")
COMPARED = ("test", "validation", "phases", "decision")


def main(kills: str = "20", seed: str = "0", *options: str) -> int:
    chosen = options or DEFAULT
    rng = random.Random(int(seed))
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        whole, _ = run(Path(folder), "whole", chosen)
        seconds = time.monotonic() - started
        print(f"left alone it takes {seconds:.1f} s")
        equal = 0
        for number in range(int(kills)):
            moment = rng.uniform(0, seconds)
            _, last = run(Path(folder), f"killed-{number}", chosen, kill_after=moment)
            found, _ = run(Path(folder), f"killed-{number}", (*chosen, "--resume"))
            is_equal = found == whole
            equal += is_equal
            said = "equal" if is_equal else f"DIFFERENT: {differences(whole, found)}"
            print(f"{number + 1}. killed after {moment:.1f} s ({last}): {said}", flush=True)
    print(f"{equal} of {kills} resumed runs ended as the one that was left alone")
    return 0 if equal == int(kills) else 1


def run(
    folder: Path, name: str, options: tuple[str, ...], kill_after: float | None = None
) -> tuple[dict[str, Any] | None, str]:
    """What the run's bundle holds, None where it was killed before; and the last line it said."""
    home = folder / name
    home.mkdir(exist_ok=True)
    places = {"GRAFT_CACHE": f"{home}/cache", "BENTOML_HOME": f"{home}/bentoml"}
    command = [sys.executable, "-m", "trainers.run", *options, "--output", str(home / "out")]
    environment = {**os.environ, **places, "TF_CPP_MIN_LOG_LEVEL": "3"}
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, stderr=log, stdout=log, env=environment)
        try:
            process.wait(kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    said = (home / "log").read_text().splitlines() or [""]
    if process.returncode not in (0, -9):
        raise SystemExit(f"{name} ended with {process.returncode}: {said[-5:]}")
    bundles = [path for path in (home / "out").glob("classifier-*") if path.is_dir()]
    return (outcome(bundles[0]) if bundles else None), said[-1][:60]


def outcome(bundle: Path) -> dict[str, Any]:
    metrics = json.loads((bundle / "metrics.json").read_text())
    weights = [one.raw_data for one in onnx.load(bundle / "model.onnx").graph.initializer]
    return {**{key: metrics[key] for key in COMPARED}, "weights": sorted(weights)}


def differences(whole: dict[str, Any] | None, found: dict[str, Any] | None) -> list[str]:
    if whole is None or found is None:
        return ["no bundle"]
    return [key for key in whole if whole[key] != found[key]]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
