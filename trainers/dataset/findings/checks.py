"""Runs all checks of a dataset.

To add a check, write a `Check` function in the module of its topic or in a new module, and add the
function to CHECKS. Choose thresholds that give no finding for a clean folder. Tests marked `real`
run all checks on photos of flowers and on satellite tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from trainers.dataset.dataset import Dataset
from trainers.dataset.findings import appearance, classes, duplication, files, leakage
from trainers.dataset.findings.finding import Finding

Check = Callable[[Dataset, int], Iterator[Finding]]
"""A function: (dataset, side of the model's input in pixels) -> findings."""

CHECKS: tuple[Check, ...] = (
    classes.find_nested_classes,
    files.find_left_out,
    files.find_wrong_suffixes,
    duplication.find_duplicates,
    leakage.find_leaks,
    classes.find_small_classes,
    classes.find_imbalance,
    classes.find_similar_names,
    appearance.find_odd_sizes,
    appearance.find_odd_modes,
    appearance.find_blank_pictures,
    appearance.find_narrow_range,
)
"""All checks. Findings of the same severity are reported in this order."""


def run_checks(dataset: Dataset, image_size: int) -> tuple[Finding, ...]:
    """Run all checks; return the findings, errors first.

    Args:
        dataset: the dataset before `splitting.split`, with only the splits that the folder or
            --split names.
        image_size: side of the model's input, in pixels.
    """
    findings = [finding for check in CHECKS for finding in check(dataset, image_size)]
    return tuple(sorted(findings, key=lambda finding: finding.severity != "error"))
