from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from plugins.base import WeightsError
from trainers.comparing import measuring
from trainers.heads.head import Head
from trainers.phases import flip_selection, head_phase
from trainers.phases.context import TrainingContext

Start = Callable[..., TrainingContext]


@pytest.mark.slow
def test_the_figures_equal_those_of_the_head_phase(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "MIN_SECONDS", 0.0)
    context, refitted = start(), []
    refit = measuring.refitting.refit

    def record(context: TrainingContext, head: Head) -> Head:
        refitted.append(refit(context, head))
        return refitted[-1]

    monkeypatch.setattr(measuring.refitting, "refit", record)
    figures = measuring.measure(context.config, context.dataset, context.cache, context.progress)
    context, _ = flip_selection.resolve_flip(context)
    head = refit(context, head_phase.train_head(context))
    assert refitted[0].held_out is not None
    assert figures.test_accuracy == measuring.count_correct(context, refitted[0])[0] / (
        figures.test_pictures
    )
    assert figures.validation_accuracy == head.selection_result.accuracy
    assert figures.head == head.description
    parts = ("train", "validation")  # validation pictures alone are too few
    assert figures.validation_pictures == sum(len(context.dataset.rows(part)) for part in parts)
    assert figures.test_pictures == len(context.dataset.rows("test"))
    assert figures.test_interval[0] <= figures.test_accuracy <= figures.test_interval[1]
    assert (figures.image_size, figures.width) == (32, 12)
    assert figures.parameters == context.network.body.count_params() + 12 * 2 + 2
    assert figures.parameters * 4 < figures.model_bytes < 100_000
    assert 0 < figures.inference_ms < 50


@pytest.mark.slow
def test_cached_features_are_reported_and_change_no_accuracy(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "MIN_SECONDS", 0.0)
    context = start()
    first, second = (
        measuring.measure(context.config, context.dataset, context.cache, context.progress)
        for _ in range(2)
    )
    assert (first.were_kept, second.were_kept) == (False, True)
    assert first.test_accuracy == second.test_accuracy
    assert first.validation_accuracy == second.validation_accuracy


def test_nothing_is_decoded_if_the_weights_cannot_be_downloaded(start: Start) -> None:
    context = start()
    seconds_before = dict(context.progress.seconds)
    config = context.config.model_copy(update={"weights": "imagenet", "image_size": 40})
    with pytest.raises(WeightsError, match="cannot be downloaded here"):
        measuring.measure(config, context.dataset, context.cache, context.progress)
    assert context.progress.seconds.get("decoding") == seconds_before.get("decoding")


@pytest.mark.parametrize(("milliseconds", "calls"), [(4.0, 500), (400.0, measuring.MIN_CALLS)])
def test_the_median_is_taken_over_many_calls_after_a_warm_up(
    monkeypatch: pytest.MonkeyPatch, milliseconds: float, calls: int
) -> None:
    clock, shapes = [0.0], []

    class Session:
        def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> None:
            shapes.append(inputs["images"].shape)
            cold = len(shapes) <= measuring.WARM_UP_CALLS
            clock[0] += 5.0 if cold else milliseconds / 1000

    monkeypatch.setattr(measuring.time, "perf_counter", lambda: clock[0])
    images = np.zeros((3, 8, 8, 3), np.uint8)
    assert measuring.median_ms(Session(), images) == pytest.approx(milliseconds)
    assert len(shapes) == pytest.approx(measuring.WARM_UP_CALLS + calls, abs=1)
    assert set(shapes) == {(1, 8, 8, 3)}
