"""Measures what answers are trusted for: `make bench-trust`.

    .venv/bin/python -m benchmarks.trust PLUGIN WEIGHTS FOLDER FOREIGN [SEEDS=10]

FOREIGN is a folder of other pictures, which a model of FOLDER must call unknown. The cost of a
challenger has a benchmark of its own, benchmarks.trust.shadow, because it needs two bundles.
"""

from __future__ import annotations

import subprocess
import sys


def main(plugin: str, weights: str, folder: str, foreign: str, seeds: str = "10") -> None:
    for part, *arguments in (
        ("calibration", seeds),
        ("unknown", seeds, foreign),
        ("label_errors", seeds),
        ("explain",),
        ("drift", foreign, seeds),
    ):
        # A process for each part, because BentoML reads BENTOML_HOME only once.
        command = [sys.executable, "-m", f"benchmarks.trust.{part}", plugin, weights, folder]
        subprocess.run([*command, *arguments], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
