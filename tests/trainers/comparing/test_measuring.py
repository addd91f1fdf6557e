from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from plugins.base import WeightsError
from trainers.comparing import measuring
from trainers.phases import head_phase, mirroring
from trainers.phases.context import TrainingContext

Start = Callable[..., TrainingContext]


@pytest.mark.slow
def test_the_figures_are_those_of_the_head_phase(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "MIN_SECONDS", 0.0)
    run = start(head="linear")
    one = measuring.measure(run.config, run.dataset, run.cache, run.progress)
    run, _ = mirroring.resolve_flip(run)
    head = head_phase.train_head(run)
    assert one.validation_accuracy == head.selection_result.accuracy
    assert one.head == head.description
    parts = ("train", "validation")  # the latter alone are too few to say anything
    assert one.validation_pictures == sum(len(run.dataset.rows(part)) for part in parts)
    assert one.test_pictures == len(run.dataset.rows("test"))
    assert one.test_interval[0] <= one.test_accuracy <= one.test_interval[1]
    assert (one.image_size, one.width) == (32, 12)
    assert one.parameters == run.network.body.count_params() + 12 * 2 + 2
    assert one.parameters * 4 < one.model_bytes < 100_000
    assert 0 < one.inference_ms < 50


@pytest.mark.slow
def test_kept_features_are_said_and_change_nothing(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "MIN_SECONDS", 0.0)
    run = start(head="linear")
    first, second = (
        measuring.measure(run.config, run.dataset, run.cache, run.progress) for _ in range(2)
    )
    assert (first.were_kept, second.were_kept) == (False, True)
    assert first.test_accuracy == second.test_accuracy
    assert first.validation_accuracy == second.validation_accuracy


def test_nothing_is_decoded_for_weights_that_cannot_be_had(start: Start) -> None:
    run = start()
    before = dict(run.progress.seconds)
    config = run.config.model_copy(update={"weights": "imagenet", "image_size": 40})
    with pytest.raises(WeightsError, match="cannot be downloaded here"):
        measuring.measure(config, run.dataset, run.cache, run.progress)
    assert run.progress.seconds.get("decoding") == before.get("decoding")


@pytest.mark.parametrize(("milliseconds", "calls"), [(4.0, 500), (400.0, measuring.MIN_CALLS)])
def test_the_median_is_that_of_many_calls_after_a_warm_up(
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
