"""The results of the tools: a JSON Lines file, and the table made from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Key = tuple[str, str, str]
"""The number of training pictures per class (or "all"), the tool, and the seed."""
Figures = dict[str, float]

COLUMNS = (
    "pictures per class",
    "tool",
    "seeds",
    "accuracy",
    "less than Graft",
    "log loss",
    "ECE",
    "minutes",
    "CPU minutes",
)
Z95 = 1.96


def append(path: Path, key: Key, figures: Figures) -> None:
    """Append a result to a file; create the file if it does not exist."""
    size, tool, seed = key
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps({"size": size, "tool": tool, "seed": seed, **figures})
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def read(path: Path) -> dict[Key, Figures]:
    """Return the results in a file; none if it does not exist.

    Raises:
        SystemExit: a line is not a result.
    """
    results = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            figures = json.loads(line)
            key = (figures.pop("size"), figures.pop("tool"), figures.pop("seed"))
        except (ValueError, KeyError) as error:
            raise SystemExit(
                f"{path}, line {number} is not a result. Remove the line, and start again."
            ) from error
        results[key] = figures
    return results


def table(results: dict[Key, Figures]) -> list[str]:
    """Return the lines of a Markdown table, by size; Graft is the first tool of each size."""
    groups: dict[tuple[str, str], dict[str, Figures]] = {}
    for (size, tool, seed), figures in results.items():
        groups.setdefault((size, tool), {})[seed] = figures

    def position(group: tuple[str, str]) -> tuple[float, bool]:
        size, tool = group
        return (float("inf") if size == "all" else int(size), tool != "graft")

    lines = [row(COLUMNS), row(["---"] * len(COLUMNS))]
    for size, tool in sorted(groups, key=position):
        cells = summarise(groups[size, tool], groups.get((size, "graft"), {}))
        lines.append(row([size, tool, *cells]))
    return lines


def summarise(results: dict[str, Figures], graft: dict[str, Figures]) -> list[str]:
    """Return the cells of a tool: means over the seeds, with 95% intervals of the accuracies.

    Args:
        results, graft: the figures of the tool and of Graft, by seed. The difference is that of the
            seeds that both have.
    """

    def mean(name: str) -> float:
        return float(np.mean([figures[name] for figures in results.values()]))

    accuracies = np.array([figures["accuracy"] for figures in results.values()])
    differences = np.array(
        [
            graft[seed]["accuracy"] - figures["accuracy"]
            for seed, figures in results.items()
            if seed in graft
        ]
    )
    return [
        str(len(results)),
        interval(accuracies),
        interval(differences),
        f"{mean('log loss'):.3f}",
        f"{mean('calibration error'):.3f}",
        f"{mean('seconds') / 60:.2f}",
        f"{mean('CPU seconds') / 60:.2f}",
    ]


def interval(values: NDArray[np.float64]) -> str:
    """Return the mean, and the margin of its 95% interval if there is more than one value."""
    if not len(values):
        return "-"
    if len(values) < 2:
        return f"{values.mean():.3f}"
    margin = Z95 * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.3f} +-{margin:.3f}"


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
