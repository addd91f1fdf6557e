"""Train a classifier: `python -m trainers.run --plugin efficientnet --data DIR`.

The function `train` does the same from Python.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from plugins.base import BackboneError, WeightsError
from plugins.registry import resolve
from service.cli.arguments import WRONG_USE
from service.cli.os_errors import explain_error, is_fixable
from service.errors import GraftError, ParityError
from service.imaging import configure_process
from service.system.folders import bentoml_home, cache_folder
from service.system.interrupts import INTERRUPTED, exit_on_signals
from trainers import hardware
from trainers.cache.array_cache import Cache
from trainers.cli import preparation
from trainers.cli.arguments import parse
from trainers.cli.log_output import log_for_caller, set_up_logging
from trainers.cli.stopping import StopMessage
from trainers.cli.validation import validate
from trainers.config import TrainingConfig
from trainers.cross_validation import fold_datasets
from trainers.dataset import scanning
from trainers.features import decoding
from trainers.progress import Progress, log
from trainers.resources import distribution
from trainers.workspace import workspace

BUG, STOPPED = 1, 75
"""Exit codes: a bug in Graft; a stopped run that can be resumed (EX_TEMPFAIL of sysexits.h)."""
TOO_LITTLE_MEMORY = (
    "this machine has too little memory for this run: close other programs, or use a smaller "
    "--batch-size or --image-size"
)


@dataclass(frozen=True)
class TrainingResult:
    """A finished training run.

    Attributes:
        bundle: the folder of the bundle.
        model: the tag of the model in BentoML's model store, NAME:VERSION.
    """

    bundle: Path
    model: str

    @property
    def report(self) -> Path:
        """The path of the HTML page with the results."""
        return self.bundle / "report.html"

    @property
    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json."""
        content: dict[str, Any] = json.loads(
            (self.bundle / "metrics.json").read_text(encoding="utf-8")
        )
        return content


def train(
    plugin: str,
    data: str | os.PathLike[str] | None = None,
    *,
    verbose: bool = False,
    **options: object,
) -> TrainingResult:
    """Train a classifier from Python, as `python -m trainers.run` does.

    Args:
        plugin: the backbone, FAMILY or FAMILY:VARIANT.
        data: a folder with one sub-folder per class, an archive of such a folder, or a table of
            labels. "demo" generates sample pictures of leaves. None means the folder data/ if it
            exists, otherwise "demo".
        verbose: whether to show the log and the progress on stderr.
        options: any other option of the command, with _ instead of -, e.g. fine_tune_epochs=0.

    Raises:
        GraftError: an option or the data cannot be used, or the exported model does not give the
            same results as the trained model. The message says what to do.
        OSError: the disk is full, or a file cannot be read or written.
    """
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    values = {"plugin": plugin, "data": data, **options}
    values = {
        name: os.fspath(value) if isinstance(value, os.PathLike) else value
        for name, value in values.items()
    }
    with log_for_caller(verbose):
        try:
            result = train_classifier(validate(values), Progress(is_quiet=not verbose))
        except (BackboneError, WeightsError) as error:
            raise GraftError(str(error)) from error
    return TrainingResult(Path(result["bundle"]), result["model"])


def train_classifier(config: TrainingConfig, progress: Progress) -> dict[str, Any]:
    """Train a classifier, measure it, and register its bundle in BentoML's model store.

    Data flow: folder -> scan, inspect, assign sources, check, split -> decode -> train the head ->
    fine-tune -> (with --folds) cross-validate -> export, measure -> bundle -> model store.

    Returns:
        A dict with the figures that the command prints with --json (see `registration.register`).
        Among them are `bundle`, the path of the bundle; `model`, the tag of the model in the model
        store; and `test_accuracy`, the accuracy of the exported model on the test pictures, 0 to 1.

    Raises:
        GraftError, BackboneError, WeightsError: an option, the data, the backbone or its weights
            cannot be used, or the exported model does not give the same results as the trained
            model.
    """
    distribution.refuse_several_hosts()
    backbone = resolve(config.plugin)
    weights = config.weights or backbone.pretrained
    config = config.model_copy(update={"weights": weights})
    size = config.image_size or backbone.image_size
    backbone.validate(weights, size)
    bentoml_home()  # an unusable folder fails now, not after the training
    folder = preparation.choose_folder(config)
    with progress.step("scanning"):
        files = scanning.scan(folder, config.group, progress, config.task)

    with (
        workspace(config.output) as work,
        closing(make_cache(config, work, progress)) as cache,
    ):
        dataset, findings = preparation.prepare_dataset(files, config, size, cache, progress)
        folds = fold_datasets.make_folds(dataset, config.folds, config.seed)
        dataset = decoding.decode_lazily(dataset, size, cache)
        decoding.prefetch(dataset)  # TensorFlow starts meanwhile
        hardware.prepare(config.seed, config.device, config.precision)
        from trainers.cross_validation import measuring
        from trainers.exporting import (
            bundle_writer,
            export,
            registration,
        )  # these import TensorFlow
        from trainers.features.network import Network
        from trainers.multi_label import bundle_writer as multi_label_writer
        from trainers.multi_label import training as multi_label_training
        from trainers.phases import transfer_learning
        from trainers.phases.context import TrainingContext

        export.require_packages(config.formats)
        network = Network(backbone, weights, size, config.seed)
        strategy = distribution.choose_strategy()
        context = TrainingContext(config, network, dataset, cache, progress, strategy)
        training: ModuleType = transfer_learning
        writer: ModuleType = bundle_writer
        if dataset.is_multi_label:
            training, writer = multi_label_training, multi_label_writer
        trained = training.train(context)
        log.info("%s", trained.decision)
        if folds:
            trained = replace(trained, folds=measuring.cross_validate(context, folds, work))
        with hardware.without_tensor_float_32():
            bundle, metrics = writer.write_bundle(
                trained, dataset, findings, config, work, progress
            )
        return registration.register(bundle, metrics, folder)


def make_cache(config: TrainingConfig, workspace_folder: Path, progress: Progress) -> Cache:
    """Open the cache that all runs share; --cache-gigabytes limits its size.

    Args:
        config: the options of the run.
        workspace_folder: the run's own folder, for records that do not fit in the cache.
        progress: shows the progress of computing records.
    """
    max_bytes = config.cache_gigabytes * 1e9
    return Cache(cache_folder() / "arrays", max_bytes, workspace_folder, progress)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code.

    0 = done; 2 = wrong use, bad data or another error that the user can fix, such as a full disk;
    1 = a bug: the exported model does not give the same results as the trained model. Exceptions
    from other bugs are not caught.

    Ctrl-C ends the process with exit code 130, SIGTERM with 75. If fine-tuning has written a
    checkpoint, the next run can continue from it with --resume.
    """
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    arguments = sys.argv[1:] if arguments is None else arguments
    set_up_logging(is_quiet=False, is_json="--json" in arguments)  # for errors while parsing
    message = StopMessage()
    with exit_on_signals({signal.SIGINT: INTERRUPTED, signal.SIGTERM: STOPPED}, message):
        return _run(arguments, message)


def _run(arguments: Sequence[str], message: StopMessage) -> int:
    started = time.monotonic()
    try:
        options = parse(arguments)
        set_up_logging(options.quiet, options.json)
        configure_process()
        message.watch(options.config)
        progress = Progress(options.quiet, is_json=options.json)
        result = train_classifier(options.config, progress)
    except ParityError as error:
        log.error("graft: %s", error)
        return BUG
    except (GraftError, BackboneError, WeightsError, MemoryError) as error:
        log.error("graft: %s", str(error) or TOO_LITTLE_MEMORY)
        return WRONG_USE
    except OSError as error:
        if not is_fixable(error):
            raise
        log.error("graft: %s", explain_error(error))
        return WRONG_USE
    result["seconds"] = round(time.monotonic() - started, 1)
    print(json.dumps(result) if options.json else result["bundle"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
