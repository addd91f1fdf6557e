"""The first steps of every command that trains: choose a folder; read, check and split pictures.

Between `choose_folder` and `prepare_dataset`, the command itself lists the files with
`scanning.scan`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from service.system.folders import cache_folder
from trainers.cache.array_cache import Cache
from trainers.config import TrainingConfig
from trainers.dataset import grouping
from trainers.dataset.dataset import Dataset, check_classes, load_dataset
from trainers.dataset.findings import checks, finding
from trainers.dataset.findings.finding import Finding
from trainers.dataset.folders import suggestions
from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.scan import Scan
from trainers.dataset.samples import draw_samples
from trainers.dataset.splits import pinning, splitting
from trainers.progress import Progress, log


def choose_folder(config: TrainingConfig) -> Path:
    """Return the folder, archive or table to train on.

    If --data is `demo`, or if it is not given and there is no folder data/, this is the folder of
    the sample pictures. They are drawn unless the cache already has them.
    """
    folder = config.folder()
    if folder:
        log.info("training on the pictures in %s", folder)
        return folder
    folder = draw_samples(cache_folder())
    reason = (
        f"because of --data {config.data}"
        if config.data
        else "no --data is given, and there is no folder data/ here"
        + suggestions.suggest_current_folder()
    )
    level = logging.INFO if config.data else logging.WARNING
    log.log(level, "training on drawn sample pictures of leaves in %s (%s)", folder, reason)
    return folder


def prepare_dataset(
    files: Scan, config: TrainingConfig, image_size: int, cache: Cache, progress: Progress
) -> tuple[Dataset, Sequence[Finding]]:
    """Inspect pictures and group duplicates; then assign sources, check the dataset and split it.

    Args:
        files: the files of the folder, not yet decoded.
        config: the options of the run; only `group`, `split`, `strict` and `seed` are used.
        image_size: side of the model's input in pixels; much smaller pictures are reported.
        cache: stores the digests, the inspections and the groups of duplicates.
        progress: shows the progress of the check.

    Returns:
        The dataset with its splits, and the findings of the check.

    Raises:
        DataError: the folder cannot be trained on, or there is a finding and --strict is set.
        ConfigError: the table that --group or --split names cannot be read.
        CacheError: the cache cannot be written.
    """
    pins = pinning.read_pins(config.split)  # before the inspection, which takes long
    dataset = load_dataset(files, cache)
    dataset = grouping.assign_sources(dataset, config.group)
    pinned = pinning.match_pins(dataset, pins)
    with progress.step("checking"):
        findings = check(pinned.apply(dataset), image_size, config.strict)
    split = pinned.apply(splitting.split(pinned.release(dataset), config.seed))
    if split.pinned:
        pinning.check_pinned(split)
    splitting.log_drawn_splits(dataset, split)
    log.info("%s", splitting.describe(split))
    return split, findings


def check(dataset: Dataset, image_size: int, is_strict: bool) -> Sequence[Finding]:
    """Look for problems in the dataset; log and return the findings.

    Raises:
        DataError: the folder cannot be trained on, or there is a finding and `is_strict` is set.
    """
    findings = checks.run_checks(dataset, image_size)
    for note in finding.list_notes(dataset):
        log.info("%s", note)
    finding.log_findings(findings)
    check_classes(dataset)
    if is_strict and findings:
        raise DataError(
            f"{dataset.title}: --strict stops the run because of {len(findings)} "
            f"finding{'s' * (len(findings) != 1)}, listed above; correct the data, or train "
            "without --strict"
        )
    return findings
