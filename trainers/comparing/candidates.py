"""Backbones to choose from, what was measured of each, and which one to take."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from plugins.registry import resolve
from service.cli import command_lines
from service.system.folders import expand_home
from trainers.config import ConfigError, TrainingConfig
from trainers.dataset.folders.filenames import is_printable

EQUAL_TIME_RATIO = 1.1
"""Times within 10% of each other count as equal: a busy machine measures no better than that."""


@dataclass(frozen=True)
class Candidate:
    """A backbone with its weights.

    Attributes:
        plugin: FAMILY:VARIANT, as --plugin takes it.
        weights: as --weights takes them.
        label: its name in tables and plots.
    """

    plugin: str
    weights: str
    label: str

    @property
    def has_own_weights(self) -> bool:
        return self.weights == resolve(self.plugin).pretrained

    def image_size(self, shared: TrainingConfig) -> int:
        """Side of the input in pixels: what the options say, or what the backbone is made for."""
        return shared.image_size or resolve(self.plugin).image_size

    def config(self, shared: TrainingConfig) -> TrainingConfig:
        """The configuration that trains this backbone.

        Args:
            shared: what all candidates have in common.
        """
        return shared.model_copy(update={"plugin": self.plugin, "weights": self.weights})

    def training_command(self, shared: TrainingConfig) -> str:
        """The command that trains it on the same split and at the same size."""
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
        image_size: side of the input in pixels.
        validation_accuracy: of the head on the validation pictures, 0 to 1; the choice rests on it.
        test_accuracy: on the test pictures, with its 95% interval; no choice rests on it.
        inference_ms: median time for one picture through backbone and head, on one thread.
        model_bytes: size of the ONNX file of backbone and head.
        parameters: number of weights.
        width: length of the embedding.
        seconds: time for embeddings and head, or for the head alone where `were_kept`.
        were_kept: whether all embeddings came from the cache.
        head: which head was solved, in words.
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
class CandidateResult:
    """A candidate with its figures, or with the problem that prevented them."""

    candidate: Candidate
    figures: Figures | None = None
    problem: str = ""


@dataclass(frozen=True)
class Recommendation:
    """The candidate to take, and why.

    Attributes:
        near_best: all candidates whose validation accuracy is at least `threshold`, 0 to 1.
    """

    candidate: Candidate
    figures: Figures
    near_best: tuple[Candidate, ...]
    threshold: float
    reason: str


def parse_candidates(text: str, weights: str | None = None) -> list[Candidate]:
    """Parse `FAMILY[:VARIANT][=WEIGHTS],...`; duplicates are dropped.

    Args:
        weights: for entries that name none; None for the backbone's own.

    Raises:
        ConfigError: no backbone is named, or weights are empty or not printable.
        BackboneError: there is no such backbone.
    """
    pairs: list[tuple[str, str]] = []
    for entry in filter(None, map(str.strip, text.split(","))):
        name, has_weights, given = entry.partition("=")
        backbone = resolve(name.strip())
        chosen = given if has_weights else weights or backbone.pretrained
        if not chosen or not is_printable(chosen):
            raise ConfigError(
                f"--plugins (={entry!r}): = must be followed by weights: `none`, the name of the "
                "backbone's own weights, or the path of a file without a comma"
            )
        pairs.append((backbone.name, str(expand_home(chosen, "HOME"))))
    if not pairs:
        raise ConfigError("--plugins names no backbone, e.g. --plugins pocket,mobilenet:v3-small")
    pairs = list(dict.fromkeys(pairs))
    return [Candidate(*pair, label) for pair, label in zip(pairs, _labels(pairs), strict=True)]


def _labels(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The plugin's name, with its weights where they are random or several are compared."""
    counts = Counter(plugin for plugin, _ in pairs)
    for plugin, weights in pairs:
        is_own = weights == resolve(plugin).pretrained
        if weights == "none" or (counts[plugin] > 1 and not is_own):
            name = Path(weights).name
            yield f"{plugin}={name if len(name) <= 24 else name[:23] + '…'}"
        else:
            yield plugin


def recommend(results: Sequence[CandidateResult]) -> Recommendation:
    """Choose the fastest backbone that is about as accurate as the best.

    About as accurate: its validation accuracy is within one standard error of the best one. This is
    the one-standard-error rule of Breiman, Friedman, Olshen and Stone (Classification and
    Regression Trees, 1984, section 3.4.3), with time in place of the size of a tree. Of those about
    as fast as the fastest, the most accurate is taken.

    Args:
        results: at least one of them with figures.
    """
    measured = [(result.candidate, result.figures) for result in results if result.figures]
    leader, best = max(measured, key=lambda pair: pair[1].validation_accuracy)
    error = standard_error(best.validation_accuracy, best.validation_pictures)
    threshold = best.validation_accuracy - error
    near = [pair for pair in measured if pair[1].validation_accuracy >= threshold - 1e-12]
    limit_ms = EQUAL_TIME_RATIO * min(figures.inference_ms for _, figures in near)
    fast = [pair for pair in near if pair[1].inference_ms <= limit_ms]
    chosen, figures = max(
        fast, key=lambda pair: (pair[1].validation_accuracy, -pair[1].inference_ms)
    )
    margin = f"one standard error ({100 * error:.1f} percentage points)"
    if len(near) == 1:
        others = f"; no other comes within {margin} of it" if len(measured) > 1 else ""
        reason = f"it has the best validation accuracy, {best.validation_accuracy:.1%}{others}"
    else:
        rank = (
            "it is the fastest of these"
            if len(fast) == 1
            else f"it is the most accurate of the {len(fast)} fastest of these, whose times are "
            "within 10% of each other"
        )
        reason = (
            f"{len(near)} backbones are within {margin} of the best validation accuracy "
            f"({best.validation_accuracy:.1%}, {leader.label}), and {rank}: "
            f"{figures.inference_ms:.1f} ms per picture, validation accuracy "
            f"{figures.validation_accuracy:.1%}"
        )
    near_best = tuple(candidate for candidate, _ in near)
    return Recommendation(chosen, figures, near_best, threshold, reason)


def standard_error(share: float, count: int) -> float:
    """Standard error of a share of `count` pictures, both 0 to 1.

    Two correct and two wrong answers are added (Agresti and Coull 1998), so a share of 100% has an
    error, too.
    """
    share = (share * count + 2) / (count + 4)
    return math.sqrt(share * (1 - share) / (count + 4))
