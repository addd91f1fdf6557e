"""The backbones of a comparison, the measurements of each, and the choice of one of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from plugins.registry import families, resolve
from service.cli import command_lines
from service.system.folders import expand_home
from trainers.config import ConfigError, TrainingConfig
from trainers.dataset.folders.filenames import is_printable

EQUAL_TIME_RATIO = 1.1
"""Two backbones count as equally fast if the slower takes at most 1.1 times as long as the faster.

Measured times vary by about that much, because other programs run on the machine.
"""


@dataclass(frozen=True)
class Candidate:
    """A backbone with its weights.

    Attributes:
        plugin: name of the backbone, FAMILY:VARIANT, as in --plugin.
        weights: a value of --weights, e.g. imagenet, none or the path of a file.
        label: the name that tables and plots show.
    """

    plugin: str
    weights: str
    label: str

    @property
    def has_default_weights(self) -> bool:
        return self.weights == resolve(self.plugin).pretrained

    def image_size(self, shared: TrainingConfig) -> int:
        """Side of the input in pixels: --image-size if given, otherwise the backbone's default."""
        return shared.image_size or resolve(self.plugin).image_size

    def config(self, shared: TrainingConfig) -> TrainingConfig:
        """The configuration that trains this backbone.

        Args:
            shared: the options of the comparison, which apply to every candidate.
        """
        return shared.model_copy(update={"plugin": self.plugin, "weights": self.weights})

    def training_command(self, shared: TrainingConfig) -> str:
        """The command that trains this backbone with the split and image size of the comparison.

        Args:
            shared: the options of the comparison. The command also contains its --flip.
        """
        words = ["--plugin", self.plugin]
        words += [] if self.has_default_weights else ["--weights", self.weights]
        for name in ("data", "image_size", "seed", "group", "split", "flip"):
            value = getattr(shared, name)
            if value != TrainingConfig.model_fields[name].default:
                words += [f"--{name.replace('_', '-')}", str(value)]
        return command_lines.python_command("trainers.run", *words)


@dataclass(frozen=True)
class Figures:
    """The measurements of one candidate.

    Attributes:
        image_size: side of the input in pixels.
        validation_accuracy: accuracy, 0 to 1, in cross-validation on the training and validation
            pictures, or on the validation pictures if there are many. The recommendation is based
            on it.
        validation_pictures: the number of pictures on which `validation_accuracy` was measured.
        test_accuracy: accuracy on the test pictures, 0 to 1. It does not affect the recommendation.
        test_interval: the 95% confidence interval of the test accuracy, 0 to 1.
        test_pictures: the number of test pictures.
        inference_ms: median time of backbone and head for one picture, on one thread.
        model_bytes: size of the ONNX file, which contains backbone and head.
        parameters: number of weights in backbone and head.
        width: embedding length, the number of values that the backbone computes for a picture.
        seconds: time to compute the embeddings, to choose whether to train on mirrored views, and
            to train the head. If `were_kept` is true, no embeddings were computed in this time.
        were_kept: whether the cache already contained all embeddings for the choice of views and
            for the training of the head.
        head: description of the head that was trained.
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
    """A candidate with its measurements, or with an error message if it could not be measured."""

    candidate: Candidate
    figures: Figures | None = None
    problem: str = ""


@dataclass(frozen=True)
class Recommendation:
    """The recommended candidate, and why it is recommended.

    Attributes:
        near_best: all candidates whose validation accuracy is at least `threshold`.
        threshold: the best validation accuracy minus its standard error, 0 to 1.
    """

    candidate: Candidate
    figures: Figures
    near_best: tuple[Candidate, ...]
    threshold: float
    reason: str


def parse_candidates(text: str, weights: str | None = None) -> list[Candidate]:
    """Parse the value of --plugins, `FAMILY[:VARIANT][=WEIGHTS],...`; drop duplicates.

    Args:
        weights: weights for entries without =WEIGHTS; None means the default of each backbone.

    Raises:
        ConfigError: the list is empty, or the weights of an entry are empty or not printable.
        BackboneError: an entry names an unknown backbone.
    """
    pairs: list[tuple[str, str]] = []
    for entry in filter(None, map(str.strip, text.split(","))):
        name, has_weights, given = entry.partition("=")
        backbone = resolve(name.strip())
        chosen = given if has_weights else weights or backbone.pretrained
        if not chosen or not is_printable(chosen):
            raise ConfigError(
                f"--plugins (={entry!r}): the weights are missing or not printable; write weights "
                f"after the =: `none` for random weights, `{backbone.pretrained}` for the default, "
                "or the path of a file (without commas)"
            )
        pairs.append((backbone.name, str(expand_home(chosen, "HOME"))))
    if not pairs:
        raise ConfigError(
            "--plugins is empty: name at least one backbone, e.g. --plugins pocket,resnet:50"
        )
    pairs = list(dict.fromkeys(pairs))
    return [Candidate(*pair, label) for pair, label in zip(pairs, _labels(pairs), strict=True)]


def _labels(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield a label for each pair of plugin and weights.

    The label is PLUGIN or PLUGIN=WEIGHTS. It contains the weights if they are random. It also
    contains them if they are not the plugin's default, and the list has the plugin more than once.
    For a weights file, WEIGHTS is the name of the file, shortened to 24 characters.
    """
    counts = Counter(plugin for plugin, _ in pairs)
    for plugin, weights in pairs:
        is_default = weights == resolve(plugin).pretrained
        if weights == "none" or (counts[plugin] > 1 and not is_default):
            name = Path(weights).name
            yield f"{plugin}={name if len(name) <= 24 else name[:23] + '…'}"
        else:
            yield plugin


def recommend(results: Sequence[CandidateResult]) -> Recommendation:
    """Recommend the fastest backbone that is about as accurate as the best.

    "About as accurate" means that its validation accuracy is at most one standard error lower (the
    one-standard-error rule: Breiman et al., Classification and Regression Trees, 1984). If several
    such backbones are about as fast as the fastest (see EQUAL_TIME_RATIO), the most accurate of
    them is recommended.

    Args:
        results: the results of all candidates. At least one of them has figures.
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
    margin = f"{100 * error:.1f} percentage points (one standard error)"
    if len(near) == 1:
        others = f"; no other backbone comes within {margin} of it" if len(measured) > 1 else ""
        reason = f"it has the best validation accuracy, {best.validation_accuracy:.1%}{others}"
    else:
        rank = (
            f"{chosen.label} is the fastest of them"
            if len(fast) == 1
            else f"{chosen.label} is the most accurate of the {len(fast)} fastest, which are about "
            "equally fast"
        )
        reason = (
            f"{len(near)} backbones have a validation accuracy at most {margin} below the best "
            f"({best.validation_accuracy:.1%}, {leader.label}); {rank}: "
            f"{figures.inference_ms:.1f} ms per picture, validation accuracy "
            f"{figures.validation_accuracy:.1%}"
        )
    near_best = tuple(candidate for candidate, _ in near)
    return Recommendation(chosen, figures, near_best, threshold, reason)


def describe_extras(candidates: Sequence[Candidate]) -> str:
    """List the backbones of installed extras that are not compared, with their sizes.

    Returns:
        `NAME (MILLIONS of parameters, PIXELS px), ...`; "" if there are none.
    """
    names = {candidate.plugin for candidate in candidates}
    return ", ".join(
        f"{family}:{variant} ({spec.parameters / 1e6:.0f} million parameters, {spec.image_size} px)"
        for family, backbone in families().items()
        if backbone.extra and not backbone.missing_package()
        for variant, spec in backbone.variants.items()
        if f"{family}:{variant}" not in names
    )


def standard_error(share: float, count: int) -> float:
    """The standard error, 0 to 1, of an accuracy that was measured on `count` pictures.

    The computation adds two correct and two wrong predictions (Agresti and Coull 1998). Otherwise,
    the standard error of an accuracy of 100% would be 0.

    Args:
        share: the accuracy, 0 to 1.
    """
    share = (share * count + 2) / (count + 4)
    return math.sqrt(share * (1 - share) / (count + 4))
