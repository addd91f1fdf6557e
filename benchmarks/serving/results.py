"""Formats measurements as Markdown tables, and writes them to benchmarks/README.md."""

from __future__ import annotations

import datetime
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.serving.load.wrk import Load
from service.bundle.reading import Bundle
from service.system.resources import processor_name, usable_cores

README = Path(__file__).parents[1] / "README.md"


@dataclass(frozen=True)
class Result:
    """A table of results.

    Attributes:
        key: marks the place of the table in benchmarks/README.md.
        title: the heading of the table.
        table: rows of cells; the first row has the headings of the columns.
        notes: list items below the table.
        chart: an SVG that is shown with the table; empty if there is none.
    """

    key: str
    title: str
    table: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    chart: str = ""

    def markdown(self, conditions: str) -> str:
        """Format the table as Markdown, below the text `conditions` (see `describe_machine`)."""
        head, *rows = self.table
        lines = [f"| {' | '.join(row)} |" for row in rows]
        notes = [f"- {note}" for note in self.notes]
        picture = [f"![{self.title}](charts/{self.key}.svg)", ""] if self.chart else []
        return "\n".join(
            [
                *(f"### {self.title}", "", conditions, ""),
                *(f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *lines, ""),
                *picture,
                *notes,
            ]
        ).rstrip()

    def write(self, conditions: str) -> None:
        """Write the table to benchmarks/README.md, and the chart to benchmarks/charts.

        The table replaces the table with the same key. If there is none, it is appended.
        """
        start, end = f"<!-- {self.key} -->", f"<!-- /{self.key} -->"
        block = f"{start}\n{self.markdown(conditions)}\n{end}"
        text = README.read_text() if README.is_file() else "# Benchmarks\n"
        pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
        if pattern.search(text):
            text = pattern.sub(lambda _: block, text)
        else:
            text = f"{text.rstrip()}\n\n{block}\n"
        README.write_text(text)
        if self.chart:
            (README.parent / f"charts/{self.key}.svg").write_text(self.chart)


def make_key(mode: str, bundle: Bundle) -> str:
    """Make the key of a result from the name of the measurement and the plugin."""
    return f"serving-{mode}-{re.sub('[^a-z0-9]+', '-', bundle.manifest.plugin)}"


def measure_other_load() -> float:
    """Measure for one second how much processor time other programs use, in % of all processors."""
    return float(psutil.cpu_percent(1.0))


def describe_machine(seconds: float, rounds: int, others: float) -> str:
    """Describe the conditions of a measurement: the machine, the versions and the arguments.

    Args:
        seconds: duration of one round.
        rounds: the number of rounds.
        others: share of all processors that other programs used, in percent.
    """
    versions = [f"{name} {metadata.version(name)}" for name in ("onnxruntime", "bentoml", "numpy")]
    return (
        f"{datetime.date.today()}, {processor_name() or platform.machine()}, {usable_cores()} "
        f"cores, Python {platform.python_version()}, {', '.join(versions)}; {rounds} rounds of "
        f"{seconds:g} s; other programs used {others:.0f}% of the processors"
    )


def format_spread(values: Sequence[float] | NDArray[np.float64], digits: int = 0) -> str:
    """Format the median of the values, and their range in brackets."""
    low, middle, high = (float(value) for value in np.percentile(values, [0, 50, 100]))
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def format_latencies(loads: Sequence[Load]) -> list[str]:
    """Format the median of the p50 latencies and that of the p99 latencies, in milliseconds."""
    p50, p99 = np.median([(load.p50_ms, load.p99_ms) for load in loads], axis=0)
    return [f"{p50:.1f}", f"{p99:.1f}"]


def format_ratios(numerators: Sequence[float], denominators: Sequence[float]) -> str:
    """Format the median and the range of the ratios. Each round has one ratio."""
    return format_spread([a / b for a, b in zip(numerators, denominators, strict=True)], 2)


def format_verdict(value: float, limit: float, relation: str) -> str:
    """Format whether a value meets its target, e.g. `>= 0.95: yes`; `relation` is <= or >=."""
    is_met = value <= limit if relation == "<=" else value >= limit
    return f"{relation} {limit:g}: {'yes' if is_met else '**no**'}"
