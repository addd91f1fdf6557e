"""The benchmark shadow.py: the rows of its table, and its notes."""

from __future__ import annotations

from collections import Counter

from benchmarks.trust.shadow import AGAIN, FIGURES, WITH, WITHOUT, Measured, notes, table


def measured(with_p99: float) -> Measured:
    rounds = {figure: [10.0, 20.0] for figure in (*FIGURES, "memory", "failed")}
    challenged = {**rounds, "p99": [10 * with_p99, 20 * with_p99], "memory": [60.0, 60.0]}
    return {WITHOUT: rounds, AGAIN: rounds, WITH: challenged}


def test_ratios_are_computed_within_a_round() -> None:
    row = dict(zip(FIGURES, table(measured(1.04))[1:], strict=True))["p99"]
    assert row[1:] == [
        "15.0 (10.0 to 20.0)",
        "1.00 (1.00 to 1.00)",
        "1.04 (1.04 to 1.04)",
        "<= 1.05: yes",
    ]


def test_a_missed_target_is_marked() -> None:
    assert table(measured(1.06))[2][-1] == "<= 1.05: **no**"


def test_the_notes_say_how_many_pictures_were_shown() -> None:
    counts = {"calm": Counter(agree=7, disagree=2, shed=1), "saturated": Counter[str]()}
    calm, saturated, memory, failed = notes(measured(1), counts)
    assert "classified 90% of the 10 pictures" in calm
    assert "of the 0 pictures" in saturated
    assert "15 MB without challenger, 60 MB with it" in memory
    assert "refused or lost: 90" in failed
