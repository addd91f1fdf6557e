"""Formats the result of a measurement as a Markdown table, and writes it into the README."""

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
    """One table: `key` marks its place in the README, `chart` is the SVG shown with it."""

    key: str
    title: str
    table: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    chart: str = ""

    def markdown(self, where: str) -> str:
        head, *rows = self.table
        lines = [f"| {' | '.join(row)} |" for row in rows]
        notes = [f"- {note}" for note in self.notes]
        picture = [f"![{self.title}](charts/{self.key}.svg)", ""] if self.chart else []
        return "\n".join(
            [
                *(f"### {self.title}", "", where, ""),
                *(f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *lines, ""),
                *picture,
                *notes,
            ]
        ).rstrip()

    def write(self, where: str) -> None:
        """Replace this table in benchmarks/README.md, or append it."""
        start, end = f"<!-- {self.key} -->", f"<!-- /{self.key} -->"
        block = f"{start}\n{self.markdown(where)}\n{end}"
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
    """Make the key of a result from the measurement and the plugin."""
    return f"serving-{mode}-{re.sub('[^a-z0-9]+', '-', bundle.manifest.plugin)}"


def measure_other_load() -> float:
    """Measure for a second how much of the machine other programs use, in percent."""
    return float(psutil.cpu_percent(1.0))


def describe_machine(seconds: float, rounds: int, others: float) -> str:
    """Describe the machine, the versions, the duration, and the load of other programs."""
    versions = [f"{name} {metadata.version(name)}" for name in ("onnxruntime", "bentoml", "numpy")]
    return (
        f"{datetime.date.today()}, {processor_name() or platform.machine()}, {usable_cores()} "
        f"cores, Python {platform.python_version()}, {', '.join(versions)}; {rounds} rounds of "
        f"{seconds:g} s; others took {others:.0f}% of the machine"
    )


def format_spread(values: Sequence[float] | NDArray[np.float64], digits: int = 0) -> str:
    """Format the median, and the range in brackets."""
    low, middle, high = (float(value) for value in np.percentile(values, [0, 50, 100]))
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def format_latencies(loads: Sequence[Load]) -> list[str]:
    """Format the medians of p50 and of p99, in milliseconds."""
    p50, p99 = np.median([(load.p50_ms, load.p99_ms) for load in loads], axis=0)
    return [f"{p50:.1f}", f"{p99:.1f}"]


def format_ratios(numerators: Sequence[float], denominators: Sequence[float]) -> str:
    """Format the median and the range of the ratios of each round."""
    return format_spread([a / b for a, b in zip(numerators, denominators, strict=True)], 2)


def format_verdict(value: float, limit: float, wanted: str) -> str:
    """Format whether a figure meets its limit; `wanted` is <= or >=."""
    holds = value <= limit if wanted == "<=" else value >= limit
    return f"{wanted} {limit:g}: {'yes' if holds else '**no**'}"
