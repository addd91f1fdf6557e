"""Measures what answers are trusted for: `make bench-trust`.

    .venv/bin/python -m benchmarks.trust PLUGIN WEIGHTS FOLDER FOREIGN [SEEDS=10]

FOREIGN is a folder of other pictures, which a model of FOLDER must call unknown. The cost of a
challenger has a benchmark of its own, benchmarks.trust.shadow, because it needs two bundles.
"""

from __future__ import annotations

import sys

from benchmarks.trust import calibration, drift, explain, label_errors, unknown


def main(plugin: str, weights: str, folder: str, foreign: str, seeds: str = "10") -> None:
    calibration.main(plugin, weights, folder, seeds)
    unknown.main(plugin, weights, folder, seeds, foreign)
    label_errors.main(plugin, weights, folder, seeds)
    explain.main(plugin, weights, folder)
    drift.main(plugin, weights, folder, foreign, seeds)


if __name__ == "__main__":
    main(*sys.argv[1:])
