"""Backbones to choose from, what was measured of them, and the one to take."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from plugins.registry import resolve
from service.cli import command_lines
from service.system.resources import at_home
from trainers.config import ConfigError, TrainingConfig
from trainers.dataset.folders.filenames import is_printable

SAME_TIME = 1.1
"""Times within a tenth of each other count as equal: a clock on a busy machine is no better."""


@dataclass(frozen=True)
class Candidate:
    """A backbone with its weights.

    Attributes:
        plugin: FAMILY:VARIANT, as --plugin takes it.
        weights: as --weights takes them.
        label: what it is called in table and plot.
    """

    plugin: str
    weights: str
    label: str

    @property
    def has_own_weights(self) -> bool:
        return self.weights == resolve(self.plugin).pretrained

    def config(self, shared: TrainingConfig) -> TrainingConfig:
        """What a run of this backbone is told."""
        return shared.model_copy(update={"plugin": self.plugin, "weights": self.weights})

    def command(self, shared: TrainingConfig) -> str:
        """The line that trains it, on the same split and at the same size."""
        words = ["--plugin", self.plugin]
        words += [] if self.has_own_weights else ["--weights", self.weights]
        for name in ("data", "image_size", "seed", "group", "flip", "head"):
            value = getattr(shared, name)
            if value != TrainingConfig.model_fields[name].default:
                words += [f"--{name.replace('_', '-')}", str(value)]
        return command_lines.python_command("trainers.run", *words)


@dataclass(frozen=True)
class Figures:
    """What was measured of a candidate.

    Attributes:
        validation_accuracy: of the head on the validation pictures: decides.
        test_accuracy: on the test pictures, with its 95% interval: decides nothing.
        inference_ms: median time of one picture through backbone and head, by one thread.
        model_bytes: size of the ONNX file of both; parameters: how many numbers it learned.
        width: of the embedding.
        seconds: for embeddings and head; `were_kept` where all embeddings of training lay in the
            cache, so that it is the time of the head alone.
        head: which one was solved, in words.
    """

    image_size: int
    validation_accuracy: float
    validation_pictures: int
    test_accuracy: float
    test_interval: tuple[float, float]
    test_pictures: int
    inference_ms: float
    model_bytes: int
    parameters: int
    width: int
    seconds: float
    were_kept: bool
    head: str


@dataclass(frozen=True)
class Row:
    """A candidate with its figures, or with the problem that kept it from having any."""

    candidate: Candidate
    figures: Figures | None = None
    problem: str = ""


@dataclass(frozen=True)
class Choice:
    """The candidate to take, and why.

    Attributes:
        near: all whose validation accuracy is at least `threshold`, 0 to 1.
    """

    candidate: Candidate
    figures: Figures
    near: tuple[Candidate, ...]
    threshold: float
    reason: str


def parse_candidates(text: str, weights: str | None = None) -> list[Candidate]:
    """Read `FAMILY[:VARIANT][=WEIGHTS],...`; what comes twice is taken once.

    Args:
        weights: of those that name none; None for their own.

    Raises:
        ConfigError: nothing is named, or weights are empty or no printable text.
        BackboneError: there is no such backbone.
    """
    pairs: list[tuple[str, str]] = []
    for entry in filter(None, map(str.strip, text.split(","))):
        name, has_weights, given = entry.partition("=")
        backbone = resolve(name.strip())
        chosen = given if has_weights else weights or backbone.pretrained
        if not chosen or not is_printable(chosen):
            raise ConfigError(
                f"--plugins (={entry!r}): after = come weights: `none`, the name of the "
                "backbone's own, or the path of a file without a comma"
            )
        pairs.append((backbone.name, str(at_home(chosen, "HOME"))))
    if not pairs:
        raise ConfigError("--plugins names no backbone, e.g. --plugins pocket,mobilenet:v3-small")
    pairs = list(dict.fromkeys(pairs))
    return [Candidate(*pair, label) for pair, label in zip(pairs, _labels(pairs), strict=True)]


def _labels(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The plugin's name, and its weights where that alone would not say which or hides too much."""
    counts = Counter(plugin for plugin, _ in pairs)
    for plugin, weights in pairs:
        is_own = weights == resolve(plugin).pretrained
        if weights == "none" or (counts[plugin] > 1 and not is_own):
            name = Path(weights).name
            yield f"{plugin}={name if len(name) <= 24 else name[:23] + '…'}"
        else:
            yield plugin


def choose(rows: Sequence[Row]) -> Choice:
    """The fastest backbone that is about as accurate as the best.

    About as accurate: its validation accuracy is within one standard error of the best one, the
    one-standard-error rule of Breiman, Friedman, Olshen and Stone (Classification and Regression
    Trees, 1984, section 3.4.3), with time in the place of the tree's size. Of those about as fast
    as the fastest, the most accurate is taken.

    Args:
        rows: at least one of them with figures.
    """
    measured = [(row.candidate, row.figures) for row in rows if row.figures]
    leader, best = max(measured, key=lambda one: one[1].validation_accuracy)
    error = standard_error(best.validation_accuracy, best.validation_pictures)
    threshold = best.validation_accuracy - error
    near = [one for one in measured if one[1].validation_accuracy >= threshold - 1e-12]
    limit = SAME_TIME * min(figures.inference_ms for _, figures in near)
    fast = [one for one in near if one[1].inference_ms <= limit]
    chosen, figures = max(fast, key=lambda one: (one[1].validation_accuracy, -one[1].inference_ms))
    within = f"one standard error ({100 * error:.1f} points)"
    if len(near) == 1:
        others = f"; no other comes within {within} of it" if len(measured) > 1 else ""
        reason = f"it has the best validation accuracy, {best.validation_accuracy:.1%}{others}"
    else:
        equal = f"most accurate of the {len(fast)} fastest, within a tenth of each other"
        reason = (
            f"of {len(near)} within {within} of the best validation accuracy "
            f"({best.validation_accuracy:.1%}, {leader.label}) it is the "
            f"{'fastest' if len(fast) == 1 else equal}: "
            f"{figures.inference_ms:.1f} ms a picture, at {figures.validation_accuracy:.1%}"
        )
    return Choice(chosen, figures, tuple(one for one, _ in near), threshold, reason)


def standard_error(share: float, count: int) -> float:
    """Of a share of `count` pictures, with two right and two wrong answers added (Agresti and
    Coull 1998): so a best of 100% has an error, too, and one mistake in twenty is none the less
    about as good."""
    share = (share * count + 2) / (count + 4)
    return math.sqrt(share * (1 - share) / (count + 4))
