from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from plugins.base import BackboneError
from plugins.registry import families
from trainers.cli.arguments import parse
from trainers.comparing.candidates import (
    Candidate,
    CandidateResult,
    Figures,
    Recommendation,
    describe_extras,
    parse_candidates,
    recommend,
    standard_error,
)
from trainers.config import ConfigError, TrainingConfig


def figures(accuracy: float, ms: float, pictures: int = 100) -> Figures:
    return Figures(
        image_size=32,
        validation_accuracy=accuracy,
        validation_pictures=pictures,
        test_accuracy=0.5,
        test_interval=(0.4, 0.6),
        test_pictures=100,
        inference_ms=ms,
        model_bytes=4_000_000,
        parameters=1_000_000,
        width=12,
        seconds=1.0,
        were_kept=False,
        head="linear head",
    )


def recommend_among(*measured: tuple[float, float], pictures: int = 100) -> Recommendation:
    """Recommend one of the candidates `0`, `1`, ..., given their accuracies and milliseconds.

    Another candidate, which failed, comes first.
    """
    results = [
        CandidateResult(
            Candidate("tiny:s", "none", str(index)), figures(*accuracy_and_ms, pictures)
        )
        for index, accuracy_and_ms in enumerate(measured)
    ]
    broken = CandidateResult(Candidate("tiny:s", "none", "broken"), problem="no weights")
    return recommend([broken, *results])


def test_the_fastest_within_one_standard_error_is_recommended() -> None:
    recommended = recommend_among(
        (0.90, 20.0), (0.88, 5.0), (0.86, 1.0)
    )  # standard error: 3.1 points
    assert recommended.candidate.label == "1"
    assert [candidate.label for candidate in recommended.near_best] == ["0", "1"]
    assert recommended.reason == (
        "2 backbones have a validation accuracy at most 3.1 percentage points (one standard error) "
        "below the best (90.0%, 0); 1 is the fastest of them: 5.0 ms per picture, validation "
        "accuracy 88.0%"
    )


def test_with_more_pictures_smaller_differences_count() -> None:
    recommended = recommend_among((0.90, 20.0), (0.88, 5.0), pictures=2000)
    assert recommended.candidate.label == "0"
    assert recommended.reason == (
        "it has the best validation accuracy, 90.0%; no other backbone comes within 0.7 percentage "
        "points (one standard error) of it"
    )


def test_the_most_accurate_of_equally_fast_candidates_is_recommended() -> None:
    recommended = recommend_among((0.90, 20.0), (0.88, 5.0), (0.89, 5.4), (0.89, 5.6))
    assert recommended.candidate.label == "2"
    reason = "2 is the most accurate of the 2 fastest, which are about equally fast: 5.4 ms"
    assert reason in recommended.reason
    assert ": 5.4 ms per picture" in recommended.reason


def test_the_test_accuracy_does_not_affect_the_recommendation() -> None:
    results = [
        CandidateResult(Candidate("tiny:s", "none", name), figures(0.9, ms))
        for name, ms in (("a", 2), ("b", 1))
    ]
    assert recommend(results).candidate.label == "b"
    better = Figures(**{**vars(results[0].figures), "test_accuracy": 1.0})
    changed = CandidateResult(results[0].candidate, better)
    assert recommend([changed, results[1]]).candidate.label == "b"


def test_a_single_candidate_is_recommended() -> None:
    assert recommend_among((0.5, 1.0)).reason == "it has the best validation accuracy, 50.0%"


def test_a_perfect_accuracy_on_few_pictures_has_a_standard_error() -> None:
    assert standard_error(1.0, 20) == pytest.approx((22 / 24 * 2 / 24 / 24) ** 0.5)
    assert standard_error(0.9, 1000) == pytest.approx((0.09 / 1000) ** 0.5, rel=0.01)
    assert recommend_among((1.0, 20.0), (0.95, 1.0), pictures=20).candidate.label == "1"
    assert recommend_among((1.0, 20.0), (0.90, 1.0), pictures=20).candidate.label == "0"


def test_entries_name_backbones_and_weights() -> None:
    candidates = parse_candidates(
        "pocket, mobilenet:v2-0.35=a/file.h5,resnet=none,,pocket:1,tiny:s"
    )
    assert [(candidate.plugin, candidate.weights, candidate.label) for candidate in candidates] == [
        ("pocket:1", "embedded", "pocket:1"),
        ("mobilenet:v2-0.35", "a/file.h5", "mobilenet:v2-0.35"),
        ("resnet:50", "none", "resnet:50=none"),
        ("tiny:s", "imagenet", "tiny:s"),
    ]


def test_weights_of_an_entry_override_the_default() -> None:
    candidates = parse_candidates("pocket=embedded,tiny", "none")
    assert [candidate.weights for candidate in candidates] == ["embedded", "none"]


def test_several_weights_of_one_backbone_have_different_labels() -> None:
    candidates = parse_candidates(f"tiny,tiny=none,tiny=x/one.h5,tiny=x/{'long' * 9}.h5")
    assert [candidate.label for candidate in candidates] == [
        *("tiny:s", "tiny:s=none", "tiny:s=one.h5"),
        "tiny:s=longlonglonglonglonglon…",
    ]


def test_wrong_entries_are_refused() -> None:
    with pytest.raises(ConfigError, match="--plugins is empty"):
        parse_candidates(" , ")
    with pytest.raises(ConfigError, match="write weights after the ="):
        parse_candidates("pocket,tiny=")
    with pytest.raises(BackboneError, match="Did you mean `mobilenet`"):
        parse_candidates("mobilnet")


def test_the_training_command_has_the_options_of_the_comparison() -> None:
    (candidate,) = parse_candidates("tiny=my weights/file.h5")
    shared = TrainingConfig(plugin="tiny", data="my data", image_size=64, seed=3)
    words = shlex.split(candidate.training_command(shared))
    assert words[:3] == [sys.executable, "-m", "trainers.run"]
    config = parse(words[3:]).config
    assert config == candidate.config(shared)
    assert config.weights == str(Path("my weights/file.h5"))


def test_the_training_command_omits_defaults() -> None:
    (candidate,) = parse_candidates("pocket")
    command = candidate.training_command(TrainingConfig(plugin="tiny"))
    assert command.endswith("python -m trainers.run --plugin pocket:1")


def test_backbones_of_installed_extras_are_named_with_their_sizes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backbone = families()["kerashub"]
    monkeypatch.setattr(backbone, "missing_package", lambda: "")
    others = describe_extras(parse_candidates("pocket,kerashub:swin-tiny"))
    assert "kerashub:dinov2-small (22 million parameters, 224 px)" in others
    assert "pocket" not in others
    assert "swin-tiny" not in others
    monkeypatch.setattr(backbone, "missing_package", lambda: "it needs a package")
    assert describe_extras(parse_candidates("pocket")) == ""
