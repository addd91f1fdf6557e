"""Measures everything that answers are trusted for: `make bench-trust`.

    .venv/bin/python -m benchmarks.trust PLUGIN WEIGHTS FOLDER [OTHER_FOLDER] [SEEDS=10]

OTHER_FOLDER has pictures that a model of FOLDER must call unknown, and that its traffic turns to.
"""

from __future__ import annotations

import sys

from benchmarks.trust import calibration, drift, explain, label_errors, shadow, unknown


def main(plugin: str, weights: str, folder: str, other: str = "", seeds: str = "10") -> None:
    others = (other,) if other else ()
    calibration.main(plugin, weights, folder, seeds)
    unknown.main(plugin, weights, folder, seeds, *others)
    label_errors.main(plugin, weights, folder, seeds)
    explain.main(plugin, weights, folder)
    drift.main(plugin, weights, folder, *others)
    shadow.main_of_folder(plugin, weights, folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
