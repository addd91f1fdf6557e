from __future__ import annotations

import itertools

import pytest

from service.engine.session_config import SessionConfig, Trial, TuningResult, choose_config


def new_trial(sessions: int, threads: int, batch: int, rate: float) -> Trial:
    return Trial(
        sessions=sessions, session_threads=threads, max_batch_size=batch, pictures_per_second=rate
    )


def new_config(sessions: int, threads: int, batch: int) -> SessionConfig:
    return SessionConfig(sessions=sessions, session_threads=threads, max_batch_size=batch)


@pytest.mark.parametrize(
    ("curve", "chosen"),
    [
        ([new_trial(1, 1, 1, 10)], new_config(1, 1, 1)),
        ([new_trial(2, 1, 1, 100), new_trial(1, 2, 1, 90)], new_config(2, 1, 1)),
        # Twice the batch for 2% more is not worth the wait of its first picture; 4% are.
        ([new_trial(2, 1, 1, 100), new_trial(2, 1, 2, 102)], new_config(2, 1, 1)),
        ([new_trial(2, 1, 1, 100), new_trial(2, 1, 2, 104)], new_config(2, 1, 2)),
        # On a GPU: one session, large batches.
        (
            [new_trial(1, 8, 1, 100), new_trial(1, 8, 16, 900), new_trial(1, 8, 32, 910)],
            new_config(1, 8, 16),
        ),
        # One session of all threads must be clearly faster: it will not be alone.
        ([new_trial(2, 1, 1, 90), new_trial(1, 2, 1, 100)], new_config(2, 1, 1)),
        ([new_trial(2, 1, 1, 80), new_trial(1, 2, 1, 100)], new_config(1, 2, 1)),
    ],
)
def test_the_fastest_configuration_wins_and_small_batches_among_equals(
    curve: list[Trial], chosen: SessionConfig
) -> None:
    assert choose_config(curve) == choose_config(curve[::-1]) == chosen


def test_the_choice_is_at_most_three_percent_slower_than_the_best() -> None:
    rates = (10, 50, 97, 98, 100)
    for chosen_rates in itertools.permutations(rates, 4):
        curve = [new_trial(1, 1, 2**n, rate) for n, rate in enumerate(chosen_rates)]
        (taken,) = [
            trial for trial in curve if trial.max_batch_size == choose_config(curve).max_batch_size
        ]
        assert taken.pictures_per_second * 1.0301 >= max(chosen_rates)


def test_the_summary_is_one_line() -> None:
    curve = (new_trial(2, 1, 1, 433.2), new_trial(2, 1, 2, 420), new_trial(1, 2, 1, 304))
    line = TuningResult(cores=2, curve=curve, choice=choose_config(curve)).summary()
    assert line == (
        "2 sessions of 1 threads, batches up to 1 "
        "(measured on 2 cores: 2x1: 1=433.2/s 2=420/s; 1x2: 1=304/s)"
    )
    untried = TuningResult(cores=2, curve=(), choice=choose_config(curve)).summary()
    assert untried == "2 sessions of 1 threads, batches up to 1 (not measured)"
