"""What GPUs do: pictures a second of extraction and fine-tuning, by devices and precision.

.venv/bin/python benchmarks/gpu.py [PLUGIN] [PICTURES] [cpu:N]

`trainers.run` as it is, on drawn pictures, the whole network trained, on one GPU, two, four, ...
all that CUDA_VISIBLE_DEVICES leaves; in float32 (without TensorFloat-32) and in the 16 bits that
the GPUs are fastest with (extraction by TensorFloat-32 there, where they have it). Beside each
figure stands a bare loop's: the same network on the same devices fed with one batch that lies
there already. Memory is TensorFlow's peak on the fullest device. Weights are random; nothing is
fetched.
`cpu:2` tries the script on two logical CPUs, where its figures mean nothing.
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
HEADINGS = ("devices", "precision", "extraction/s", "bare", "ratio")
HEADINGS += ("fine-tuning/s", "bare", "ratio", "peak GB")


def main(plugin: str = "resnet:50", pictures: str = "8000", cpus: str = "") -> int:
    found = ask("look", cpus)
    if not found["names"]:
        print(f"no GPU, so nothing was measured: {found['why']}")
        return NO_GPU
    print(f"{plugin}, {int(pictures):,} pictures: {', '.join(found['names'])}", flush=True)
    print(line(HEADINGS), flush=True)
    with tempfile.TemporaryDirectory() as work:
        with ProcessPoolExecutor() as processes:
            tasks = range(int(pictures))
            list(processes.map(draw, [work] * len(tasks), tasks, chunksize=100))
        for count in counts(len(found["names"])):
            for precision in (HALF,) if cpus else ("float32", HALF):
                given = (plugin, work, str(count), precision, cpus)
                print(line(row(count, ask("train", *given), ask("bare", *given))), flush=True)
    return 0


def counts(devices: int) -> Iterator[int]:
    """1, 2, 4, ... and all."""
    at = 1
    while at < devices:
        yield at
        at *= 2
    yield devices


def row(count: int, ours: dict[str, Any], bare: dict[str, Any]) -> tuple[object, ...]:
    figures: list[object] = [count, bare["policy"] + " + TF32" * bare["is_tf32"]]
    for name in ("extraction", "fine_tuning"):
        mine, its = ours[name], bare[name]
        figures += [f"{mine:,.0f}", f"{its:,.0f}", f"{mine / its:.2f}"]
    peak = ours["peak_bytes"]
    return (*figures, f"{peak / 1e9:.1f}" if peak else "-")


def line(cells: tuple[object, ...]) -> str:
    return "".join(f"{cell!s:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True))


WIDTHS = (8, 24, 14, 9, 7, 15, 9, 7, 9)


def draw(folder: str, number: int) -> None:
    """A JPEG of 500 x 375 pixels of one of a few colours, with noise."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(number)
    rough = rng.integers(0, 256, (12, 16, 3), np.uint8)
    rough[..., number % 3] //= 1 + number % CLASSES
    path = Path(folder) / "pictures" / f"class{number % CLASSES}" / f"{number}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rough).resize((500, 375), Image.Resampling.BICUBIC).save(path)


def ask(part: str, *arguments: str) -> Any:
    """A part of the benchmark in a process of its own; what it prints last."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    command = [sys.executable, __file__, part, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return {**answer, **speeds(done.stderr, answer["learned_from"])} if part == "train" else answer


def speeds(log: str, pictures: int) -> dict[str, float]:
    """Pictures a second, from the lines of JSON that a run writes.

    Extraction: its longest part, which comes after a shorter one that warmed up. Fine-tuning: from
    the end of the first epoch on, validation included.
    """
    lines = [json.loads(one) for one in log.splitlines() if one.startswith("{")]
    steps = [one for one in lines if one["event"] == "step"]
    parts = [one for one in steps if one["step"] == "extracting features" and "seconds" in one]
    longest = max(parts, key=lambda one: one["done"])
    tuning = [one for one in steps if one["step"] == "fine-tuning"]
    total = tuning[0]["total"]
    begun = next(one for one in tuning if one["done"] * EPOCHS >= total)
    seconds = (moment(tuning[-1]) - moment(begun)) or tuning[-1]["seconds"]
    seen = (tuning[-1]["done"] - begun["done"] or total) * pictures * EPOCHS / total
    return {"extraction": longest["done"] / longest["seconds"], "fine_tuning": seen / seconds}


def moment(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()


def take(count: int, cpus: str, precision: str) -> None:
    """Let TensorFlow see the first so many devices."""
    kept = [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one]
    if not cpus:
        kept = kept or [str(at) for at in range(count)]
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(kept[:count])
    from trainers import hardware
    from trainers.cli.log_output import set_up_logging

    set_up_logging(is_quiet=False, is_json=True)
    if cpus:
        import tensorflow as tf

        logical = [tf.config.LogicalDeviceConfiguration()] * count
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, logical)
    hardware.prepare(0, "cpu" if cpus else "gpu", precision)


def look(cpus: str) -> dict[str, Any]:
    if cpus:
        return {"names": [f"logical {cpus[:3]}"] * int(cpus.partition(":")[2])}
    import tensorflow as tf

    from trainers import hardware

    gpus = tf.config.list_physical_devices("GPU")
    details = map(tf.config.experimental.get_device_details, gpus)
    names = [f"{one.get('device_name')} {one.get('compute_capability')}" for one in details]
    return {"names": names, "why": "" if names else hardware.explain_missing_gpu()}


def train(plugin: str, work: str, count: str, precision: str, cpus: str) -> dict[str, Any]:
    """The command, and what it leaves."""
    take(int(count), cpus, precision)
    import contextlib
    import io

    import tensorflow as tf

    from trainers import hardware, run

    os.environ["BENTOML_HOME"] = f"{work}/bentoml"
    options = ["--plugin", plugin, "--weights", "none", "--data", f"{work}/pictures", "--json"]
    options += ["--cache-gigabytes", "0", "--output", f"{work}/{time.time_ns()}"]
    options += ["--head", "linear", "--fine-tune-epochs", str(EPOCHS), "--fine-tune-layers", "9999"]
    options += ["--batch-size", str(BATCH), "--precision", precision]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = run.main([*options, "--device", "cpu" if cpus else "gpu"])
    if code:
        sys.exit(code)
    bundle = Path(json.loads(printed.getvalue().splitlines()[-1])["bundle"])
    metrics = json.loads((bundle / "metrics.json").read_text())
    used = [name.removeprefix("/device:") for name in hardware.gpus()]
    peaks = [tf.config.experimental.get_memory_info(name)["peak"] for name in used]
    return {"learned_from": metrics["train"]["n"], "peak_bytes": max(peaks, default=0)}


def bare(plugin: str, work: str, count: str, precision: str, cpus: str) -> dict[str, Any]:
    """The same network over and over on a batch that lies on the devices."""
    long = float(os.environ.get("GRAFT_GPU_BENCH_SECONDS", "10"))
    take(int(count), cpus, precision)
    import keras
    import numpy as np
    import tensorflow as tf

    from plugins.registry import resolve
    from trainers import hardware
    from trainers.features.frozen_layers import DevicePool
    from trainers.model.classifier import build_embedder
    from trainers.resources.distribution import choose_strategy
    from trainers.resources.precision import choose_policy, scale_loss

    backbone, name, devices = resolve(plugin), choose_policy(precision), hardware.devices()
    size = backbone.image_size
    images = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3), np.uint8)
    model = build_embedder(backbone.load("none"))
    signature = [tf.TensorSpec((None, size, size, 3), tf.uint8)]
    frozen = tf.function(
        lambda batch: model(tf.cast(batch, tf.float32), training=False), input_signature=signature
    )
    run = DevicePool(frozen, devices)

    def often(device: str) -> int:
        with tf.device(device):
            batch, done = tf.constant(images), 0
            run._function(batch)
            end = time.monotonic() + long
            while time.monotonic() < end:
                np.asarray(run._function(batch)[0])
                done += BATCH
        return done

    with ThreadPoolExecutor() as threads:
        extracted = sum(threads.map(often, devices)) / long

    together = BATCH * len(devices)
    with choose_strategy().scope():
        keras.mixed_precision.set_dtype_policy(name)
        body = backbone.load("none")
        backbone.fine_tune(body, 9999)
        features = build_embedder(body)
        outputs = keras.layers.Dense(CLASSES, "softmax", dtype="float32")(features.output)
        learner = keras.Model(features.input, outputs)
        learner.compile(scale_loss(keras.optimizers.Adam(1e-4), name), "categorical_crossentropy")
    inputs = np.resize(images, (together, *images.shape[1:])).astype(np.float32)
    one = (inputs, np.eye(CLASSES, dtype=np.float32)[np.arange(together) % CLASSES])
    same = tf.data.Dataset.from_tensors(one).cache().repeat()
    learner.fit(same, steps_per_epoch=3, verbose=0)
    steps, started = 0, time.monotonic()
    while time.monotonic() < started + long:
        learner.fit(same, steps_per_epoch=10, verbose=0)
        steps += 10
    tuned = steps * together / (time.monotonic() - started)
    is_tf32 = hardware.device_kind() == "GPU TF32"
    return {"extraction": extracted, "fine_tuning": tuned, "policy": name, "is_tf32": is_tf32}


PARTS = {"look": look, "train": train, "bare": bare}

if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in PARTS:
        print(json.dumps(PARTS[sys.argv[1]](*sys.argv[2:])))
    else:
        sys.exit(main(*sys.argv[1:]))
