"""The comparison of a new model with an old one: its figures, as lines for the log and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from service.bundle.reading import Bundle
from trainers.dataset import scanning
from trainers.evaluation.paired_comparison import (
    ClassComparison,
    PairedComparison,
    compare_answers,
    compare_classes,
)
from trainers.progress import Progress
from trainers.promoting.side_by_side import (
    Answers,
    SideBySide,
    describe_unusable,
    run_side_by_side,
)
from trainers.promoting.unseen_pictures import UnseenPictures, find_unseen

MAX_CLASSES_SHOWN = 5
"""A line of the log names at most this many classes. The JSON has all of them."""


@dataclass(frozen=True)
class Comparison:
    """Two models, and their answers to the same pictures that are new to both."""

    new: Bundle
    old: Bundle
    pictures: UnseenPictures
    answers: SideBySide

    @cached_property
    def overall(self) -> PairedComparison:
        """The accuracies of both models."""
        return compare_answers(self.answers.new.hits.tolist(), self.answers.old.hits.tolist())

    @cached_property
    def classes(self) -> list[ClassComparison]:
        """The recall of each class by both models."""
        new, old = self.answers.new.hits.tolist(), self.answers.old.hits.tolist()
        return compare_classes(self.answers.labels, new, old)

    @property
    def clear_losses(self) -> list[ClassComparison]:
        """The classes that the new model clearly recognises less often."""
        return [change for change in self.classes if change.is_clear_loss]

    def lines(self) -> Iterator[str]:
        """Yield the lines for the log: accuracy, classes, calibration, speed and size."""
        overall, new, old = self.overall, self.answers.new, self.answers.old
        yield (
            f"accuracy on {_count(overall.n, 'picture')} that neither model has learned from: new "
            f"model {self.new.manifest.tag} {overall.new:.4f}, old model {self.old.manifest.tag} "
            f"{overall.old:.4f}; difference {overall.new - overall.old:+.4f} (95% confidence "
            f"interval {overall.low:+.4f} to {overall.high:+.4f}; {overall.gained} gained, "
            f"{overall.lost} lost, McNemar's exact p = {overall.p_value:.2g}): {overall.verdict}"
        )
        yield f"classes: {'; '.join(self._class_changes())}"
        yield (
            f"calibration error: new {new.calibration_error:.3f}, old {old.calibration_error:.3f} "
            f"(by chance alone {new.calibration_noise:.3f} and {old.calibration_noise:.3f}); log "
            f"loss: new {new.log_loss:.3f}, old {old.log_loss:.3f}"
        )
        yield (
            f"latency for one picture on this machine (one thread, median): new "
            f"{new.latency_ms:.1f} ms, old {old.latency_ms:.1f} ms; size of the bundle: new "
            f"{size_bytes(self.new) / 1e6:.1f} MB, old {size_bytes(self.old) / 1e6:.1f} MB"
        )

    def caveats(self) -> Iterator[str]:
        """Yield warnings about pictures that were left out of the comparison."""
        if self.answers.unusable:
            yield (
                f"pictures left out of {len(self.pictures.rows)}: "
                f"{describe_unusable(self.answers.unusable)}"
            )
        common = set(self.new.manifest.classes) & set(self.old.manifest.classes)
        for owner in (self.new.manifest, self.old.manifest):
            extra = sorted(set(owner.classes) - common)
            if extra:
                count = sum(self.pictures.left_out.get(label, 0) for label in extra)
                yield (
                    f"only {owner.tag} has class {shorten(extra)}, so its pictures ({count}) are "
                    "not compared"
                )

    def to_dict(self) -> dict[str, Any]:
        """Return all figures, for --json."""
        overall = self.overall
        return {
            "verdict": overall.verdict,
            "pictures": overall.n,
            "difference": overall.new - overall.old,
            "interval": (overall.low, overall.high),
            "gained": overall.gained,
            "lost": overall.lost,
            "p_value": overall.p_value,
            "new": _figures(self.new, self.answers.new),
            "old": _figures(self.old, self.answers.old),
            "classes": [asdict(change) for change in self.classes],
            "left_out_pictures": dict(self.answers.unusable),
            "left_out_classes": self.pictures.left_out,
        }

    def _class_changes(self) -> Iterator[str]:
        gains = [change for change in self.classes if change.is_clear_gain]
        for verb, changes in (("lose", self.clear_losses), ("gain", gains)):
            if changes:
                yield f"clearly {verb}: {_describe_classes(changes)}"
        if not gains and not self.clear_losses:
            yield "none clearly gains or loses"


def compare(new: Bundle, old: Bundle, data: Path, progress: Progress) -> Comparison:
    """Compare two models on the test pictures of either that are new to both.

    Args:
        data: the folder, archive or table of the pictures that the models were trained on.

    Raises:
        GraftError: a model cannot be loaded, or there is no picture to compare them with.
    """
    pictures = find_unseen(new, old)
    folder = scanning.open_folder(data)
    answers = run_side_by_side(new, old, pictures.rows, folder, progress)
    return Comparison(new, old, pictures, answers)


def _describe_classes(changes: Sequence[ClassComparison]) -> str:
    """Say how many pictures of each class are right, with both models; the largest change first."""
    ordered = sorted(changes, key=lambda change: -abs(change.new - change.old))
    return shorten(
        f"{change.label} ({change.new} instead of {change.old} of {change.n} right)"
        for change in ordered
    )


def size_bytes(bundle: Bundle) -> int:
    """Return the size of all files of a bundle."""
    return sum(record.size_bytes for record in bundle.manifest.files.values())


def _figures(bundle: Bundle, answers: Answers) -> dict[str, Any]:
    return {
        "model": bundle.manifest.tag,
        "bundle": str(bundle.path),
        "accuracy": answers.correct / len(answers.hits),
        "correct": answers.correct,
        "log_loss": answers.log_loss,
        "calibration_error": answers.calibration_error,
        "calibration_noise": answers.calibration_noise,
        "latency_ms": answers.latency_ms,
        "size_bytes": size_bytes(bundle),
    }


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def shorten(parts: Iterable[str]) -> str:
    """Join the first MAX_CLASSES_SHOWN parts, and say how many more there are."""
    shown = list(parts)
    more = f" and {len(shown) - MAX_CLASSES_SHOWN} more" if shown[MAX_CLASSES_SHOWN:] else ""
    return ", ".join(shown[:MAX_CLASSES_SHOWN]) + more
