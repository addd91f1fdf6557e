"""Make the weights of the `pocket` backbone: `make pretrain-pocket`.

draw pictures -> train a classifier of their classes -> save its backbone as float16 weights

After an interruption, the same command continues from the last complete epoch. On the same kind of
machine, it makes the same weights as a run without interruption.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.bundle.files import fsync
from service.cli import command_lines
from service.cli.arguments import CommandParser
from service.cli.os_errors import explain_error
from service.errors import GraftError
from service.system.locks import file_lock
from trainers import hardware
from trainers.cli.log_output import set_up_logging
from trainers.pretraining.config import PretrainingConfig, claim_folder
from trainers.pretraining.drawn_dataset import DrawnDataset, draw_dataset
from trainers.progress import Progress, log

if TYPE_CHECKING:
    import keras

WEIGHTS = "pocket.weights.h5"
_HELP = {
    "seed": "seed of the pictures, of the initial weights and of the order of training pictures",
    "classes": "number of classes of generated pictures",
    "per_class": "number of pictures in each class",
    "held_out": "number of pictures of each class used only to measure the accuracy",
    "epochs": "number of epochs",
    "batch_size": "number of pictures per step",
    "learning_rate": "highest learning rate, reached after half an epoch",
    "weight_decay": "weight decay of the optimizer (SGD)",
}


def pretrain(config: PretrainingConfig, folder: Path, progress: Progress) -> Path:
    """Draw the pictures, train on them and save the weights; return the path of their file.

    Raises:
        GraftError: `folder` belongs to a run with other options or code, or is used by another
            process; or `train` or `save` raises this error.
        WorkspaceError: there is too little space on the disk for the pictures.
    """
    claim_folder(config, folder)
    try:
        with file_lock(folder / "lock", wait=False):
            drawn = draw_dataset(config.classes, config.per_class, config.seed, folder, progress)
            hardware.prepare(config.seed)
            model = train(config, drawn, folder, progress)
            return save(model, folder / WEIGHTS)
    except BlockingIOError:
        raise GraftError(
            f"another process is using {folder}: wait for it, or choose another --output"
        ) from None


def train(
    config: PretrainingConfig, drawn: DrawnDataset, folder: Path, progress: Progress
) -> keras.Model:
    """Train the network to classify the drawn pictures; save a checkpoint after each epoch.

    Raises:
        GraftError: the checkpoint in `folder` is damaged, or training diverged.
    """
    import keras

    from trainers.pretraining.augmentation import AugmentedDataset

    train_rows, held_out = drawn.split(config.held_out)
    checkpoint = folder / "checkpoint.keras"
    try:
        model = (
            keras.saving.load_model(checkpoint) if checkpoint.exists() else compile_model(config)
        )
    except Exception as error:  # Keras raises errors of any type for a damaged file
        raise GraftError(
            f"{checkpoint} is damaged; remove it to start the training from the beginning (Keras "
            f"reports: {error})"
        ) from error
    done = int(model.optimizer.iterations.numpy()) // config.steps
    validation = AugmentedDataset(drawn, held_out, config.batch_size)
    for epoch in range(done, config.epochs):
        started = time.monotonic()
        views = AugmentedDataset(drawn, train_rows, config.batch_size, seed=(config.seed, epoch))
        with progress.steps(config.steps, f"epoch {epoch + 1}/{config.epochs}") as advance:
            on_batch = keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: advance(1)
            )
            history = model.fit(views, verbose=0, shuffle=False, callbacks=[on_batch]).history
        if not math.isfinite(history["loss"][0]):
            raise GraftError(
                f"training diverged in epoch {epoch + 1}: choose a lower --learning-rate "
                "and another --output"
            )
        accuracy = model.evaluate(validation, verbose=0, return_dict=True)["accuracy"]
        partial = folder / "partial.keras"
        model.save(partial)
        fsync(partial)
        partial.replace(checkpoint)
        log.info(
            "epoch %d/%d: loss %.3f, accuracy %.3f (on held-out pictures %.3f), %.0f s",
            *(epoch + 1, config.epochs, history["loss"][0], history["accuracy"][0], accuracy),
            time.monotonic() - started,
        )
    return model


def compile_model(config: PretrainingConfig) -> keras.Model:
    """Return the pocket network with random weights and a linear head, compiled for training."""
    import keras

    from plugins.registry import resolve
    from trainers.model.classifier import build_embedder
    from trainers.pretraining.augmentation import VIEW_SIZE

    embed = build_embedder(resolve("pocket").load("none", VIEW_SIZE))
    logits = keras.layers.Dense(config.classes, name="logits")(embed.output)
    model = keras.Model(embed.input, logits)
    warm_up = config.steps // 2
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=config.steps * config.epochs - warm_up,
        warmup_target=config.learning_rate,
        warmup_steps=warm_up,
    )
    model.compile(
        optimizer=keras.optimizers.SGD(
            rate, momentum=0.9, nesterov=True, weight_decay=config.weight_decay
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def save(model: keras.Model, path: Path) -> Path:
    """Write the weights of the backbone as float16, as in the weights file of the repository.

    Raises:
        GraftError: a weight is too large for float16, or there is too little space on the disk.
    """
    import keras
    import numpy as np

    from plugins.copying import assign_weights
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
                f"layer {layer.name} has a weight of {largest:g}, too large for float16, because "
                "training diverged: choose a lower --learning-rate and another --output"
            )
        assign_weights(layer, [array.astype(np.float16) for array in weights])
    if shutil.disk_usage(path.parent).free < 16 * 2**20:  # HDF5 ends the process on a full disk
        raise GraftError(
            f"too little space for {path}: free 16 MB, then run the same command again; it "
            "continues with the trained network"
        )
    partial = path.with_name(f"partial-{path.name}")
    network.save_weights(partial)
    fsync(partial)
    partial.replace(path)
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 = done; 2 = an error; 130 = stopped by Ctrl-C."""
    parser = CommandParser(
        prog="python -m trainers.pretraining.run",
        description="Make the weights of the pocket backbone. After an interruption, the same "
        "command continues.",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("artifacts/pocket"),
        help="folder of the run (default: artifacts/pocket)",
    )
    parser.add_argument("--quiet", action="store_true", help="log only warnings and errors")
    for name, value in asdict(PretrainingConfig()).items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(
            flag, type=type(value), default=value, help=f"{_HELP[name]} (default: {value})"
        )
    try:
        given = vars(parser.parse_args(arguments))
        output, is_quiet = given.pop("output"), given.pop("quiet")
        set_up_logging(is_quiet)
        path = pretrain(PretrainingConfig(**given), output, Progress(is_quiet))
    except (GraftError, OSError) as error:
        print(f"graft: {explain_error(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "graft: stopped; the same command continues after the last complete epoch",
            file=sys.stderr,
        )
        return 130
    log.info("SHA-256 of the weights: %s", hashlib.sha256(path.read_bytes()).hexdigest())
    options = ("--plugin", "pocket", "--weights", str(path))
    log.info(
        "train with these weights:  %s", command_lines.python_command("trainers.run", *options)
    )
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
