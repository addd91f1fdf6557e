from __future__ import annotations

import time
from typing import Any

import pytest

from service.bundle.reading import Bundle
from service.engine import device
from service.engine.autotune_trials import run_trials
from service.engine.session_config import choose_config


@pytest.mark.slow
def test_each_number_of_sessions_is_tried_with_doubling_batches(tiny_bundle: Bundle) -> None:
    result = run_trials(tiny_bundle, cores=4, max_seconds=2)
    assert result.cores == 4
    assert result.choice == choose_config(result.curve)
    batch_sizes: dict[tuple[int, int], list[int]] = {}
    for trial in result.curve:
        assert trial.pictures_per_second > 0
        batches = batch_sizes.setdefault((trial.sessions, trial.session_threads), [])
        batches.append(trial.max_batch_size)
    assert next(iter(batch_sizes)) == (4, 1)
    assert set(batch_sizes) <= {(4, 1), (1, 4), (2, 2)}
    for batches in batch_sizes.values():
        assert batches == [2**n for n in range(len(batches))]


def test_trials_stop_at_the_time_limit(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[int] = []

    def load(*arguments: Any) -> Any:
        loaded.append(arguments[-1])
        return device.load_predictor(*arguments)

    monkeypatch.setattr("service.engine.autotune_trials.load_predictor", load)
    result = run_trials(tiny_bundle, cores=64, max_seconds=0)
    assert len(result.curve) == 1  # a choice needs one trial
    assert loaded == [64]  # no other number of sessions was loaded


def test_the_first_number_of_sessions_leaves_time_for_others(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rate(predictor: Any, sessions: int, batch: int) -> float:
        time.sleep(0.1)
        return float(batch)  # larger batches always seem to be faster

    monkeypatch.setattr("service.engine.autotune_trials._pictures_per_second", rate)
    result = run_trials(tiny_bundle, cores=2, max_seconds=0.6)
    counts = [trial.sessions for trial in result.curve]
    assert counts.count(2) <= 4
    assert counts.count(1) >= 1


def test_batches_that_are_slower_are_not_doubled_further(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = {1: 100.0, 2: 95.0, 4: 80.0}
    monkeypatch.setattr(
        "service.engine.autotune_trials._pictures_per_second",
        lambda p, sessions, batch: rates[batch],
    )
    result = run_trials(tiny_bundle, cores=1, max_seconds=30)
    assert [trial.max_batch_size for trial in result.curve] == [1, 2, 4]
