"""Measures feature extraction and fine-tuning on GPUs, in pictures per second.

    .venv/bin/python benchmarks/gpu.py [PLUGIN] [PICTURES] [cpu:N]

The script runs `trainers.run` on generated pictures, and fine-tunes the whole network: first on one
GPU, then on two, four and so on, up to all GPUs in CUDA_VISIBLE_DEVICES. It measures float32
without TensorFloat-32, and the 16-bit format that is fastest on these GPUs. With the 16-bit format,
feature extraction uses TensorFloat-32 if available. A column "loop" shows the speed of a loop: the
same network on the same devices, with one batch that is already in device memory. The column
"ratio" after it is the speed of Graft divided by that of the loop. "peak GB" is TensorFlow's peak
memory on the device that used the most. The weights are random, so nothing is downloaded. To test
the script without GPUs, pass `cpu:2`. It then runs on two logical CPUs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

EPOCHS, BATCH, CLASSES = 4, 32, 4
HALF, NO_GPU = "auto", 3
HEADINGS = ("devices", "precision", "extraction/s", "loop", "ratio")
HEADINGS += ("fine-tuning/s", "loop", "ratio", "peak GB")


def main(plugin: str = "resnet:50", pictures: str = "8000", cpus: str = "") -> int:
    gpus = run_part("find", cpus)
    if not gpus["names"]:
        print(f"nothing was measured, because TensorFlow finds no GPU: {gpus['why']}")
        return NO_GPU
    print(f"{plugin}, {int(pictures):,} pictures: {', '.join(gpus['names'])}", flush=True)
    print(format_row(HEADINGS), flush=True)
    with tempfile.TemporaryDirectory() as work:
        with ProcessPoolExecutor() as processes:
            tasks = range(int(pictures))
            list(processes.map(draw, [work] * len(tasks), tasks, chunksize=100))
        for count in device_counts(len(gpus["names"])):
            for precision in (HALF,) if cpus else ("float32", HALF):
                arguments = (plugin, work, str(count), precision, cpus)
                row = make_row(count, run_part("train", *arguments), run_part("loop", *arguments))
                print(format_row(row), flush=True)
    return 0


def device_counts(devices: int) -> Iterator[int]:
    """Yield 1, 2, 4, ... up to `devices`, and `devices` itself."""
    count = 1
    while count < devices:
        yield count
        count *= 2
    yield devices


def make_row(count: int, training: dict[str, Any], loop: dict[str, Any]) -> tuple[object, ...]:
    figures: list[object] = [count, loop["policy"] + " + TF32" * loop["is_tf32"]]
    for name in ("extraction", "fine_tuning"):
        figures += [
            f"{training[name]:,.0f}",
            f"{loop[name]:,.0f}",
            f"{training[name] / loop[name]:.2f}",
        ]
    peak = training["peak_bytes"]
    return (*figures, f"{peak / 1e9:.1f}" if peak else "-")


def format_row(cells: tuple[object, ...]) -> str:
    return "".join(f"{cell!s:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True))


WIDTHS = (8, 24, 14, 9, 7, 15, 9, 7, 9)


def draw(folder: str, number: int) -> None:
    """Draw a JPEG of 500 x 375 pixels: random patches, with a tint that depends on the class."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(number)
    rough = rng.integers(0, 256, (12, 16, 3), np.uint8)
    rough[..., number % 3] //= 1 + number % CLASSES
    path = Path(folder) / "pictures" / f"class{number % CLASSES}" / f"{number}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rough).resize((500, 375), Image.Resampling.BICUBIC).save(path)


def run_part(part: str, *arguments: str) -> Any:
    """Run a part of the benchmark in a new process; return the JSON that it prints.

    For the part `train`, the result also contains the speeds from the log.
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    command = [sys.executable, __file__, part, *arguments]
    completed = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False
    )
    if completed.returncode:
        sys.exit(
            f"{' '.join(command)} ended with exit code {completed.returncode}:\n"
            f"{completed.stderr[-4000:]}"
        )
    result = json.loads(completed.stdout.splitlines()[-1])
    if part == "train":
        result |= parse_speeds(completed.stderr, result["learned_from"])
    return result


def parse_speeds(log: str, pictures: int) -> dict[str, float]:
    """Compute pictures per second from the JSON lines in the log of a run.

    The speed of feature extraction is that of its largest part, because the smaller parts may
    include the warm-up. The speed of fine-tuning is measured from the end of the first epoch on,
    and includes validation.
    """
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    steps = [line for line in lines if line["event"] == "step"]
    parts = [step for step in steps if step["step"] == "extracting features" and "seconds" in step]
    longest = max(parts, key=lambda step: step["done"])
    tuning = [step for step in steps if step["step"] == "fine-tuning"]
    total = tuning[0]["total"]
    first, last = next(step for step in tuning if step["done"] * EPOCHS >= total), tuning[-1]
    seconds = (timestamp(last) - timestamp(first)) or last["seconds"]
    trained = (last["done"] - first["done"] or total) * pictures * EPOCHS / total
    return {"extraction": longest["done"] / longest["seconds"], "fine_tuning": trained / seconds}


def timestamp(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()


def limit_devices(count: int, cpus: str, precision: str) -> None:
    """Show TensorFlow only the first `count` devices; set the precision, and log as JSON lines."""
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if not cpus:
        visible = visible or [str(number) for number in range(count)]
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(visible[:count])
    from trainers import hardware
    from trainers.cli.log_output import set_up_logging

    set_up_logging(is_quiet=False, is_json=True)
    if cpus:
        import tensorflow as tf

        logical = [tf.config.LogicalDeviceConfiguration()] * count
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, logical)
    hardware.prepare(0, "cpu" if cpus else "gpu", precision)


def find_gpus(cpus: str) -> dict[str, Any]:
    """Return the names of the GPUs (or logical CPUs). If there are none, also return the reason."""
    if cpus:
        return {"names": [f"logical {cpus[:3]}"] * int(cpus.partition(":")[2])}
    import tensorflow as tf

    from trainers import hardware

    gpus = tf.config.list_physical_devices("GPU")
    details = map(tf.config.experimental.get_device_details, gpus)
    names = [f"{gpu.get('device_name')} {gpu.get('compute_capability')}" for gpu in details]
    return {"names": names, "why": "" if names else hardware.explain_missing_gpu()}


def train(plugin: str, work: str, count: str, precision: str, cpus: str) -> dict[str, Any]:
    """Run `trainers.run`; return the number of training pictures and peak GPU memory (bytes)."""
    limit_devices(int(count), cpus, precision)
    import contextlib
    import io

    import tensorflow as tf

    from trainers import hardware, run

    os.environ["BENTOML_HOME"] = f"{work}/bentoml"
    options = ["--plugin", plugin, "--weights", "none", "--data", f"{work}/pictures", "--json"]
    options += ["--cache-gigabytes", "0", "--output", f"{work}/{time.time_ns()}"]
    options += ["--fine-tune-epochs", str(EPOCHS), "--fine-tune-layers", "9999"]
    options += ["--batch-size", str(BATCH), "--precision", precision]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exit_code = run.main([*options, "--device", "cpu" if cpus else "gpu"])
    if exit_code:
        sys.exit(exit_code)
    bundle = Path(json.loads(printed.getvalue().splitlines()[-1])["bundle"])
    metrics = json.loads((bundle / "metrics.json").read_text())
    names = [name.removeprefix("/device:") for name in hardware.gpus()]
    peaks = [tf.config.experimental.get_memory_info(name)["peak"] for name in names]
    return {"learned_from": metrics["train"]["n"], "peak_bytes": max(peaks, default=0)}


def measure_loop(plugin: str, work: str, count: str, precision: str, cpus: str) -> dict[str, Any]:
    """Measure a plain loop of feature extraction, and one of fine-tuning; return both speeds.

    Each loop uses one batch in device memory. The speeds are in pictures per second.
    """
    duration = float(os.environ.get("GRAFT_GPU_BENCH_SECONDS", "10"))
    limit_devices(int(count), cpus, precision)
    import keras
    import numpy as np
    import tensorflow as tf

    from plugins.registry import resolve
    from trainers import hardware
    from trainers.features.frozen_layers import DevicePool
    from trainers.model.classifier import build_embedder
    from trainers.resources.distribution import choose_strategy
    from trainers.resources.precision import choose_policy, with_loss_scaling

    backbone, name, devices = resolve(plugin), choose_policy(precision), hardware.devices()
    size = backbone.image_size
    images = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3), np.uint8)
    model = build_embedder(backbone.load("none"))
    signature = [tf.TensorSpec((None, size, size, 3), tf.uint8)]
    frozen = tf.function(
        lambda batch: model(tf.cast(batch, tf.float32), training=False), input_signature=signature
    )
    pool = DevicePool(frozen, devices)

    def extract(device: str) -> int:
        with tf.device(device):
            batch, count = tf.constant(images), 0
            pool._function(batch)
            end = time.monotonic() + duration
            while time.monotonic() < end:
                np.asarray(pool._function(batch)[0])
                count += BATCH
        return count

    with ThreadPoolExecutor() as threads:
        extracted = sum(threads.map(extract, devices)) / duration

    global_batch = BATCH * len(devices)
    with choose_strategy().scope():
        keras.mixed_precision.set_dtype_policy(name)
        body = backbone.load("none")
        backbone.fine_tune(body, 9999)
        features = build_embedder(body)
        outputs = keras.layers.Dense(CLASSES, "softmax", dtype="float32")(features.output)
        learner = keras.Model(features.input, outputs)
        learner.compile(
            with_loss_scaling(keras.optimizers.Adam(1e-4), name), "categorical_crossentropy"
        )
    inputs = np.resize(images, (global_batch, *images.shape[1:])).astype(np.float32)
    batch = (inputs, np.eye(CLASSES, dtype=np.float32)[np.arange(global_batch) % CLASSES])
    batches = tf.data.Dataset.from_tensors(batch).cache().repeat()
    learner.fit(batches, steps_per_epoch=3, verbose=0)
    steps, started = 0, time.monotonic()
    steps_per_fit = max(1, round(duration))
    while time.monotonic() < started + duration:
        learner.fit(batches, steps_per_epoch=steps_per_fit, verbose=0)
        steps += steps_per_fit
    tuned = steps * global_batch / (time.monotonic() - started)
    is_tf32 = hardware.device_kind() == "GPU TF32"
    return {"extraction": extracted, "fine_tuning": tuned, "policy": name, "is_tf32": is_tf32}


PARTS = {"find": find_gpus, "train": train, "loop": measure_loop}

if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in PARTS:
        print(json.dumps(PARTS[sys.argv[1]](*sys.argv[2:])))
    else:
        sys.exit(main(*sys.argv[1:]))
