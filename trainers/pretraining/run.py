"""Make the weights of the `pocket` backbone: `make pretrain-pocket`.

drawn classes -> pictures on disk -> train to tell the classes apart -> float16 weights

A run that was stopped, by whatever, goes on from its last finished epoch when started again with
the same numbers. On the same kind of machine it ends with the same weights.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.bundle.files import flush
from service.cli import next_command
from service.errors import GraftError
from service.system.locks import locked
from trainers import hardware
from trainers.cli.log_output import set_up_logging
from trainers.pretraining.pictures import Drawn, draw_all
from trainers.pretraining.plan import Plan, open_folder
from trainers.progress import Progress, log

if TYPE_CHECKING:
    import keras

WEIGHTS = "pocket.weights.h5"


def pretrain(plan: Plan, folder: Path, progress: Progress) -> Path:
    """Draw, train and save; return the file of weights.

    Raises:
        GraftError: `folder` holds a run with other numbers, or one that is at work.
    """
    open_folder(plan, folder)
    try:
        with locked(folder / "lock", wait=False):
            drawn = draw_all(plan.classes, plan.per_class, plan.seed, folder, progress)
            hardware.prepare(plan.seed)
            model = train(plan, drawn, folder, progress)
            return save(model, folder / WEIGHTS)
    except BlockingIOError:
        raise GraftError(f"another run is at work in {folder}") from None


def train(plan: Plan, drawn: Drawn, folder: Path, progress: Progress) -> keras.Model:
    """Teach the network to tell the drawn classes apart, an epoch at a time, each one kept."""
    import keras

    from trainers.pretraining.views import Views

    learn, held_out = drawn.split(plan.held_out)
    checkpoint = folder / "checkpoint.keras"
    try:
        model = keras.saving.load_model(checkpoint) if checkpoint.exists() else compiled(plan)
    except Exception as error:  # Keras raises whatever type the damage happens to meet
        raise GraftError(f"{checkpoint} is damaged; remove it to train anew: {error}") from error
    done = int(model.optimizer.iterations.numpy()) // plan.steps
    judge = Views(drawn, held_out, plan.batch_size)
    for epoch in range(done, plan.epochs):
        started = time.monotonic()
        views = Views(drawn, learn, plan.batch_size, seed=(plan.seed, epoch))
        with progress.steps(plan.steps, f"epoch {epoch + 1}/{plan.epochs}") as advance:
            on_batch = keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: advance(1)
            )
            history = model.fit(views, verbose=0, shuffle=False, callbacks=[on_batch]).history
        if not math.isfinite(history["loss"][0]):
            raise GraftError(
                f"training diverged in epoch {epoch + 1}: choose a lower --learning-rate"
            )
        accuracy = model.evaluate(judge, verbose=0, return_dict=True)["accuracy"]
        partial = folder / "partial.keras"
        model.save(partial)
        flush(partial)
        partial.replace(checkpoint)
        log.info(
            "epoch %d/%d: loss %.3f, accuracy %.3f, on held-out pictures %.3f, %.0f s",
            *(epoch + 1, plan.epochs, history["loss"][0], history["accuracy"][0], accuracy),
            time.monotonic() - started,
        )
    return model


def compiled(plan: Plan) -> keras.Model:
    """The pocket network with random weights under a linear head, and how it is to learn."""
    import keras

    from plugins.registry import resolve
    from trainers.model.classifier import embedder
    from trainers.pretraining.views import SIZE

    embed = embedder(resolve("pocket").load("none", SIZE))
    logits = keras.layers.Dense(plan.classes, name="logits")(embed.output)
    model = keras.Model(embed.input, logits)
    warm_up = plan.steps // 2
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=plan.steps * plan.epochs - warm_up,
        warmup_target=plan.learning_rate,
        warmup_steps=warm_up,
    )
    model.compile(
        optimizer=keras.optimizers.SGD(
            rate, momentum=0.9, nesterov=True, weight_decay=plan.weight_decay
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def save(model: keras.Model, path: Path) -> Path:
    """Write the network's weights in half precision: 2 bytes each, as the repository keeps them.

    Raises:
        GraftError: a weight that half precision cannot hold.
    """
    import keras
    import numpy as np

    from plugins.copying import fill
    from plugins.registry import resolve

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float16")
    try:
        network = resolve("pocket").build(None, model.input_shape[1])
    finally:
        keras.config.set_dtype_policy(policy)
    for layer in network.layers:
        weights: list[Any] = model.get_layer(layer.name).get_weights() if layer.weights else []
        largest = max((float(np.abs(array).max()) for array in weights), default=0.0)
        if not largest < float(np.finfo(np.float16).max):
            raise GraftError(
                f"layer {layer.name} has a weight of {largest:g}: training diverged, lower "
                "--learning-rate"
            )
        fill(layer, [array.astype(np.float16) for array in weights])
    if shutil.disk_usage(path.parent).free < 16 * 2**20:  # HDF5 ends the process on a full disk
        raise GraftError(f"no room for {path}: the trained network is kept, make some and go on")
    partial = path.with_name(f"partial-{path.name}")
    network.save_weights(partial)
    flush(partial)
    partial.replace(path)
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m trainers.pretraining.run",
        description="Make the weights of the pocket backbone; start again to go on.",
    )
    parser.add_argument("--output", type=Path, default=Path("artifacts/pocket"))
    parser.add_argument("--quiet", action="store_true", help="only problems")
    for name, value in asdict(Plan()).items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=type(value), default=value, help=f"default: {value}")
    given = vars(parser.parse_args(arguments))
    output, is_quiet = given.pop("output"), given.pop("quiet")
    set_up_logging(is_quiet)
    try:
        path = pretrain(Plan(**given), output, Progress(is_quiet))
    except (GraftError, OSError) as error:
        print(f"graft: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("graft: stopped; the same command goes on from the last epoch", file=sys.stderr)
        return 130
    log.info("SHA-256 %s", hashlib.sha256(path.read_bytes()).hexdigest())
    options = ("--plugin", "pocket", "--weights", str(path))
    log.info("use it:  %s", next_command.python("trainers.run", *options))
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
