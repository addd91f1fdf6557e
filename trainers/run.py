"""Train a classifier: `python -m trainers.run --plugin efficientnet --data DIR`."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.base import BackboneError, WeightsError
from plugins.registry import resolve
from service.bundle import summary
from service.cli import next_command
from service.errors import GraftError, ParityError
from service.imaging import configure_process
from service.system.interrupts import INTERRUPTED, ended_by
from service.system.resources import bentoml_home, cache_folder
from trainers import hardware
from trainers.arguments import parse
from trainers.cache.array_cache import Cache
from trainers.config import TrainingConfig
from trainers.dataset import grouping, scanning, splitting
from trainers.dataset.dataset import Dataset, check_classes, load_dataset
from trainers.dataset.findings import checks, finding
from trainers.dataset.findings.finding import Finding
from trainers.dataset.folders import suggestions
from trainers.dataset.folders.errors import DataError
from trainers.distributed.cluster import ALONE, STOPPED, VARIABLE, Cluster, WorkerLostError
from trainers.evaluation import replacement
from trainers.features import pictures
from trainers.progress import Progress, log, set_up_logging
from trainers.stopping import LastWords
from trainers.workspace import workspace

if TYPE_CHECKING:
    from service.bundle.manifest import Bundle

WRONG_USE, BUG = 2, 1
MOST_SAID = 3
"""Confused pairs in the log; the report has more."""
_NOT_BUGS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP),
)


def train(
    config: TrainingConfig, progress: Progress, cluster: Cluster = ALONE
) -> dict[str, Any] | None:
    """folder -> scan, check, split, decode once -> two phases -> measured, sealed bundle -> store.

    Returns:
        bundle: its path; model: its tag in BentoML's store; test_accuracy: of the exported model.
        None on workers of a cluster that are not its chief.
    """
    backbone = resolve(config.plugin)
    weights = config.weights or backbone.pretrained
    config = config.model_copy(update={"weights": weights})
    size = config.image_size or backbone.image_size
    backbone.validate(weights, size)
    bentoml_home()  # which fails now, not after the training
    folder = choose_folder(config)
    with progress.step("scanning"):
        files = scanning.scan(folder)

    with (
        workspace(config.output) as work,
        closing(Cache(*cache_room(config, work, progress))) as cache,
    ):
        dataset = load_dataset(files, cache)
        dataset = grouping.assign_sources(dataset, config.group)
        with progress.step("checking"):
            found = check(dataset, size, config.strict)
        dataset = splitting.split(dataset, config.seed)
        log.info("%s", splitting.describe(dataset))
        hardware.prepare(config.seed, config.device, config.precision)
        from trainers.cache.sharded_cache import SharedCache
        from trainers.distributed.collectives import Exchange, naming_the_lost
        from trainers.exporting import publish  # these bring TensorFlow
        from trainers.features.network import Network
        from trainers.phases import transfer
        from trainers.phases.context import Run

        network = Network(backbone, weights, size, config.seed)
        with naming_the_lost(cluster):
            strategy, exchange = cluster.strategy(), Exchange(cluster)
            dataset = pictures.decode(dataset, size, cache)
            dataset.prefetch("validation", "test")  # of which every run asks
            room = cache_room(config, work, progress)
            shared = SharedCache(exchange, *room) if cluster.size > 1 else cache
            run = Run(config, network, dataset, shared, progress, exchange, strategy)
            exchange.agree(**run.identities)
            trained = transfer.train(run)
            log.info("%s", trained.decision)

            def finish() -> dict[str, Any]:
                with hardware.exactly():
                    bundle, metrics = publish.publish(
                        trained, dataset, found, config, work, progress
                    )
                before = replacement.latest(config.name)
                tag, test = save(bundle), metrics["test"]
                log_result(bundle, tag, test)
                log_replacement(bundle, before, folder)
                return {
                    "bundle": str(bundle.path),
                    "model": tag,
                    "test_accuracy": test["accuracy"],
                    "data": summary.data(bundle.manifest)["source"],
                    "replaces": before and replacement.tag(before),
                }

            return exchange.by_chief(finish)


def cache_room(
    config: TrainingConfig, work: Path, progress: Progress
) -> tuple[Path, float, Path, Progress]:
    """What a cache is made with."""
    return cache_folder() / "arrays", config.cache_gigabytes * 1e9, work, progress


def check(dataset: Dataset, size: int, is_strict: bool) -> Sequence[Finding]:
    """What the doctor finds, said in the log.

    Raises:
        DataError: the folder cannot be trained on, or anything was found and `is_strict` is set.
    """
    found = checks.run_checks(dataset, size)
    for line in finding.list_notes(dataset):
        log.info("%s", line)
    finding.log_findings(found)
    check_classes(dataset)
    if is_strict and found:
        raise DataError(
            f"{dataset.title}: --strict stops at what was found (listed above: "
            f"{len(found)}); put it right, or train without --strict"
        )
    return found


def choose_folder(config: TrainingConfig) -> Path:
    """The folder to train on, said in the log; the sample pictures are drawn when asked for."""
    folder = config.folder()
    if folder:
        log.info("training on the pictures in %s", folder)
        return folder
    from trainers.dataset.samples import draw_samples

    folder = draw_samples(cache_folder())
    if config.data:
        reason = "as --data says"
    else:
        reason = f"there is no folder data/ here{suggestions.suggest_current_folder()}"
    level = logging.INFO if config.data else logging.WARNING
    log.log(level, "training on drawn sample pictures of leaves (%s): %s", reason, folder)
    return folder


def save(bundle: Bundle) -> str:
    """Copy a finished bundle into BentoML's store; return its tag.

    Raises:
        GraftError: the store cannot be written; the bundle is complete all the same.
    """
    from service.bundle import store

    try:
        return store.save(bundle)
    except (OSError, GraftError) as error:
        raise GraftError(
            f"{bundle.path} is complete, but could not be copied into BentoML's store: {error}; "
            "set BENTOML_HOME to a folder with room that this user can write to, or serve it as it "
            f"is by GRAFT_MODEL={bundle.path}"
        ) from error


def log_result(bundle: Bundle, tag: str, test: dict[str, Any]) -> None:
    low, high = test["accuracy_interval"]
    is_drawn = summary.data(bundle.manifest)["source"] == summary.DRAWN
    log.info(
        "test accuracy %.4f on %d %s (95%% interval %.3f to %.3f), by the exported ONNX",
        *(test["accuracy"], test["n"], summary.DRAWN if is_drawn else "pictures", low, high),
    )
    for pair in test["most_confused"][:MOST_SAID]:
        log.info("  %s", pair["advice"])
    log.info("report: %s", bundle.path / "report.html")
    log.info("serve it:  %s", next_command.serve(tag))


def log_replacement(bundle: Bundle, before: Bundle | None, folder: Path) -> None:
    """Say which model the store calls latest now and before, and what to doubt about it."""
    for line in replacement.describe(bundle, before, folder):
        log.info("%s", line)
    for worry in replacement.worries(bundle, before):
        log.warning("careful: %s", worry)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 0 done, 2 wrong use or bad data, 1 a bug, 75 another
    worker is lost, to be gone on with by --resume. Signals end the process: SIGTERM with 75, too,
    and Ctrl-C with 130."""
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    arguments = sys.argv[1:] if arguments is None else arguments
    set_up_logging(is_quiet=False, is_json="--json" in arguments)  # before they are understood
    last_words = LastWords()
    with ended_by({signal.SIGINT: INTERRUPTED, signal.SIGTERM: STOPPED}, last_words):
        return _run(arguments, last_words)


def _run(arguments: Sequence[str], last_words: LastWords) -> int:
    started = time.monotonic()
    try:
        options = parse(arguments)
        set_up_logging(options.quiet, options.json)
        configure_process()
        last_words.watch(options.config)
        cluster = Cluster.read(os.environ.get(VARIABLE))
        result = train(options.config, Progress(options.quiet, is_json=options.json), cluster)
    except ParityError as error:
        log.error("graft: %s", error)
        return BUG
    except (GraftError, BackboneError, WeightsError, MemoryError) as error:
        log.error("graft: %s", str(error) or "this machine has too little memory for that")
        return STOPPED if isinstance(error, WorkerLostError) else WRONG_USE
    except OSError as error:
        if error.errno not in _NOT_BUGS:
            raise
        hint = "; make room or name another --output" if error.errno == errno.ENOSPC else ""
        log.error("graft: %s%s", error, hint)
        return WRONG_USE
    if result:  # else the chief says it
        result["seconds"] = round(time.monotonic() - started, 1)
        print(json.dumps(result) if options.json else result["bundle"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
