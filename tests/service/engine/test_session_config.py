from __future__ import annotations

import itertools

import pytest

from service.engine.session_config import SessionConfig, Trial, TuningResult, choose_config


def make_trial(sessions: int, threads: int, batch: int, rate: float) -> Trial:
    return Trial(
        sessions=sessions, session_threads=threads, max_batch_size=batch, pictures_per_second=rate
    )


def make_config(sessions: int, threads: int, batch: int) -> SessionConfig:
    return SessionConfig(sessions=sessions, session_threads=threads, max_batch_size=batch)


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([make_trial(1, 1, 1, 10)], make_config(1, 1, 1)),
        ([make_trial(2, 1, 1, 100), make_trial(1, 2, 1, 90)], make_config(2, 1, 1)),
        # In a double batch, the first picture waits longer: 2% more speed is not enough, 4% is.
        ([make_trial(2, 1, 1, 100), make_trial(2, 1, 2, 102)], make_config(2, 1, 1)),
        ([make_trial(2, 1, 1, 100), make_trial(2, 1, 2, 104)], make_config(2, 1, 2)),
        # On a GPU: one session, large batches.
        (
            [make_trial(1, 8, 1, 100), make_trial(1, 8, 16, 900), make_trial(1, 8, 32, 910)],
            make_config(1, 8, 16),
        ),
        # One session with all threads must be clearly faster, as other threads decode pictures.
        ([make_trial(2, 1, 1, 90), make_trial(1, 2, 1, 100)], make_config(2, 1, 1)),
        ([make_trial(2, 1, 1, 80), make_trial(1, 2, 1, 100)], make_config(1, 2, 1)),
    ],
)
def test_the_fastest_configuration_wins_and_small_batches_among_equals(
    curve: list[Trial], expected: SessionConfig
) -> None:
    assert choose_config(curve) == choose_config(curve[::-1]) == expected


def test_the_choice_is_at_most_three_percent_slower_than_the_best() -> None:
    rates = (10, 50, 97, 98, 100)
    for chosen_rates in itertools.permutations(rates, 4):
        curve = [make_trial(1, 1, 2**n, rate) for n, rate in enumerate(chosen_rates)]
        (chosen,) = [
            trial for trial in curve if trial.max_batch_size == choose_config(curve).max_batch_size
        ]
        assert chosen.pictures_per_second * 1.0301 >= max(chosen_rates)


def test_the_summary_is_one_line() -> None:
    curve = (make_trial(2, 1, 1, 433.2), make_trial(2, 1, 2, 420), make_trial(1, 2, 1, 304))
    line = TuningResult(cores=2, curve=curve, choice=choose_config(curve)).summary()
    assert line == (
        "2 sessions of 1 thread, batches of up to 1 picture "
        "(measured on 2 cores: 2x1: 1=433.2/s 2=420/s; 1x2: 1=304/s)"
    )
    unmeasured = TuningResult(cores=2, curve=(), choice=choose_config(curve)).summary()
    assert unmeasured == "2 sessions of 1 thread, batches of up to 1 picture (not measured)"
