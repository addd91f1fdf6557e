"""The benchmark gpu.py without a GPU and on logical CPUs, and how it reads speeds from a log."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from benchmarks import gpu

SCRIPT = Path(gpu.__file__)


@pytest.mark.slow
def test_a_missing_gpu_is_reported_with_the_reason() -> None:
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU here")
    completed = subprocess.run(
        [sys.executable, SCRIPT], capture_output=True, text=True, check=False
    )
    assert completed.returncode == gpu.NO_GPU, completed.stderr
    assert completed.stdout.startswith("nothing was measured, because TensorFlow finds no GPU: ")
    assert len(completed.stdout.splitlines()) == 1


@pytest.mark.long
def test_two_logical_devices_fill_a_row_of_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFT_GPU_BENCH_SECONDS", "0.5")
    for number in range(40):
        gpu.draw(str(tmp_path), number)
    arguments = ("pocket", str(tmp_path), "2", "auto", "cpu:2")
    row = gpu.make_row(2, gpu.run_part("train", *arguments), gpu.run_part("loop", *arguments))
    assert len(row) == len(gpu.HEADINGS) == len(gpu.WIDTHS)
    assert row[:2] == (2, "float32")
    assert all(float(str(row[column]).replace(",", "")) > 0 for column in (2, 3, 5, 6))


def test_device_counts_double_up_to_all_devices() -> None:
    assert [list(gpu.device_counts(devices)) for devices in (1, 2, 3, 8)] == [
        *([1], [1, 2], [1, 2, 3], [1, 2, 4, 8])
    ]


def step(name: str, second: int, done: int, total: int, **fields: float) -> str:
    event = {"time": f"2026-11-29T12:00:{second:02}.000+00:00", "event": "step", "step": name}
    return json.dumps({**event, "done": done, "total": total, **fields})


def test_speeds_are_read_from_the_log_of_a_run() -> None:
    log = [
        "WARNING: not a line of ours",
        step("extracting features", 1, 700, 700, seconds=7.0),
        step("extracting features", 4, 2000, 2100),
        step("extracting features", 4, 2100, 2100, seconds=3.0),
        step("fine-tuning", 5, 0, 40),
        step("fine-tuning", 25, 10, 40),
        step("fine-tuning", 35, 39, 40),
        step("fine-tuning", 40, 40, 40, seconds=35.0),
    ]
    speeds = gpu.parse_speeds("\n".join(log), 700)
    assert speeds["extraction"] == 700
    assert speeds["fine_tuning"] == 30 / 10 * 700 / 15, "three epochs in 15 s"
