from __future__ import annotations

import itertools
import json
import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from service.bundle.manifest import Bundle
from service.engine import autotune, device
from service.engine.autotune import Choice, Measurement, Tuning, choose, known, tune, tuned
from service.errors import SettingError
from service.settings import Settings

ROOT = Path(__file__).parents[3]


def way(sessions: int, threads: int, batch: int, rate: float) -> Measurement:
    return Measurement(
        sessions=sessions, session_threads=threads, max_batch_size=batch, pictures_per_second=rate
    )


def choice(sessions: int, threads: int, batch: int) -> Choice:
    return Choice(sessions=sessions, session_threads=threads, max_batch_size=batch)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where what was measured is kept."""
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/tuning"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A measurement without a model: the cores of each that was asked for."""
    asked = []
    curve = (way(2, 1, 1, 100), way(2, 1, 2, 90), way(1, 2, 1, 60), way(1, 2, 2, 80))

    def tune(bundle: Bundle, cores: int, device: str) -> Tuning:
        asked.append(cores)
        provider = "CPUExecutionProvider"
        return Tuning(cores=cores, provider=provider, curve=curve, choice=choose(curve))

    monkeypatch.setattr(autotune, "tune", tune)
    return asked


# The rule


@pytest.mark.parametrize(
    ("curve", "chosen"),
    [
        ([way(1, 1, 1, 10)], choice(1, 1, 1)),
        ([way(2, 1, 1, 100), way(1, 2, 1, 90)], choice(2, 1, 1)),
        # Twice the batch for 2% more is not worth the wait of its first picture; 4% are.
        ([way(2, 1, 1, 100), way(2, 1, 2, 102)], choice(2, 1, 1)),
        ([way(2, 1, 1, 100), way(2, 1, 2, 104)], choice(2, 1, 2)),
        # On a GPU: one session, large batches.
        ([way(1, 8, 1, 100), way(1, 8, 16, 900), way(1, 8, 32, 910)], choice(1, 8, 16)),
        # One session of all threads must be clearly faster: it will not be alone.
        ([way(2, 1, 1, 90), way(1, 2, 1, 100)], choice(2, 1, 1)),
        ([way(2, 1, 1, 80), way(1, 2, 1, 100)], choice(1, 2, 1)),
    ],
)
def test_the_fastest_way_is_chosen_and_small_batches_where_they_are_as_fast(
    curve: list[Measurement], chosen: Choice
) -> None:
    assert choose(curve) == choose(curve[::-1]) == chosen


def test_the_choice_never_costs_more_than_it_may() -> None:
    rates = (10, 50, 97, 98, 100)
    for chosen_rates in itertools.permutations(rates, 4):
        curve = [way(1, 1, 2**n, rate) for n, rate in enumerate(chosen_rates)]
        (taken,) = [w for w in curve if w.max_batch_size == choose(curve).max_batch_size]
        assert taken.pictures_per_second * 1.0301 >= max(chosen_rates)


# Measuring


def test_each_number_of_sessions_is_tried_in_batches_that_double(tiny_bundle: Bundle) -> None:
    found = tune(tiny_bundle, cores=4, seconds=2)
    assert found.cores == 4
    assert found.choice == choose(found.curve)
    tried: dict[tuple[int, int], list[int]] = {}
    for one in found.curve:
        assert one.pictures_per_second > 0
        tried.setdefault((one.sessions, one.session_threads), []).append(one.max_batch_size)
    assert next(iter(tried)) == (4, 1)
    assert set(tried) <= {(4, 1), (1, 4), (2, 2)}
    for batches in tried.values():
        assert batches == [2**n for n in range(len(batches))]


def test_the_time_is_a_limit(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[int] = []

    def load(*arguments: Any) -> Any:
        loaded.append(arguments[-1])
        return device.load(*arguments)

    monkeypatch.setattr(autotune, "load", load)
    found = tune(tiny_bundle, cores=64, seconds=0)
    assert len(found.curve) == 1  # what is needed for a choice
    assert loaded == [64]  # and not seven times as many sessions


def test_the_first_number_of_sessions_leaves_time_for_others(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rate(predictor: Any, sessions: int, batch: int) -> float:
        time.sleep(0.1)
        return float(batch)  # it would pay to go on for ever

    monkeypatch.setattr(autotune, "_pictures_per_second", rate)
    found = tune(tiny_bundle, cores=2, seconds=0.6)
    counts = [one.sessions for one in found.curve]
    assert counts.count(2) <= 4
    assert counts.count(1) >= 1


def test_batches_that_are_slower_are_not_doubled_further(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = {1: 100.0, 2: 95.0, 4: 80.0}
    monkeypatch.setattr(autotune, "_pictures_per_second", lambda p, sessions, batch: rates[batch])
    found = tune(tiny_bundle, cores=1, seconds=30)
    assert [one.max_batch_size for one in found.curve] == [1, 2, 4]


# Keeping


def test_what_was_measured_is_kept_for_this_model_on_this_machine(
    tiny_bundle: Bundle, measured: list[int], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(threads=2)
    assert known(tiny_bundle, settings) is None
    first = tuned(tiny_bundle, settings)
    assert tuned(tiny_bundle, settings) == known(tiny_bundle, settings) == first
    assert measured == [2]
    (file,) = cache.iterdir()
    assert file.name.startswith(tiny_bundle.manifest.version)
    tuned(tiny_bundle, Settings(threads=3))  # other cores
    monkeypatch.setattr(autotune, "processor_name", lambda: "another processor")
    tuned(tiny_bundle, settings)
    manifest = tiny_bundle.manifest.model_copy(update={"id": "f" * 64})
    tuned(Bundle(tiny_bundle.path, manifest), settings)  # another model
    assert measured == [2, 3, 2, 2]
    assert len(list(cache.iterdir())) == 4


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"cores": 2, "curve": []}',
        b'{"cores": 2, "curve": [],'
        b' "choice": {"sessions": 0, "session_threads": 1, "max_batch_size": 1}}',
    ],
    ids=["empty", "cut short", "no text", "no object", "no choice", "no session"],
)
def test_a_damaged_file_is_measured_again(
    tiny_bundle: Bundle, measured: list[int], cache: Path, damaged: bytes
) -> None:
    settings = Settings(threads=2)
    found = tuned(tiny_bundle, settings)
    (file,) = cache.iterdir()
    file.write_bytes(damaged)
    assert tuned(tiny_bundle, settings) == found
    assert len(measured) == 2
    assert json.loads(file.read_text())["cores"] == 2
    assert [path.name for path in cache.iterdir()] == [file.name]


def test_a_folder_that_cannot_be_written_is_a_warning(
    tiny_bundle: Bundle,
    measured: list[int],
    cache: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache.parent.write_bytes(b"a file is in the way, for root as well")
    assert tuned(tiny_bundle, Settings(threads=2)).choice == choice(2, 1, 1)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert str(cache) in record.getMessage()


def test_without_a_home_folder_it_is_measured_at_every_start(
    tiny_bundle: Bundle,
    measured: list[int],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a container whose user is in no list of users."""

    def cache_folder() -> Path:
        raise SettingError("this user has no home folder: set GRAFT_CACHE")

    monkeypatch.setattr(autotune, "cache_folder", cache_folder)
    for _ in range(2):
        assert tuned(tiny_bundle, Settings(threads=2)).choice == choice(2, 1, 1)
    assert measured == [2, 2]
    assert "set GRAFT_CACHE" in caplog.text


def test_what_was_measured_while_a_gpu_was_away_is_not_kept(
    tiny_bundle: Bundle, measured: list[int], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autotune, "wanted", lambda device: "CUDAExecutionProvider")
    tuned(tiny_bundle, Settings(threads=2))
    assert not cache.exists()


def test_processes_at_one_time_leave_one_whole_file(tiny_bundle: Bundle, cache: Path) -> None:
    code = f"""
from pathlib import Path
from service.bundle.manifest import Bundle
from service.errors import SettingError
from service.settings import Settings
from service.engine.autotune import tuned
print(tuned(Bundle.read(Path({str(tiny_bundle.path)!r})), Settings(threads=1)).choice)
"""
    command = [sys.executable, "-c", code]
    both = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(2)]
    for process in both:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    (file,) = cache.iterdir()
    assert Tuning.model_validate_json(file.read_bytes()) == known(tiny_bundle, Settings(threads=1))


# Settings


def test_all_three_settings_leave_nothing_to_measure(
    tiny_bundle: Bundle, measured: list[int], cache: Path
) -> None:
    settings = Settings(sessions=3, session_threads=2, max_batch_size=16)
    found = tuned(tiny_bundle, settings)
    assert (found.choice, found.curve) == (choice(3, 2, 16), ())
    assert measured == []
    assert not cache.exists()


@pytest.mark.parametrize(
    ("settings", "chosen"),
    [
        ({}, choice(2, 1, 1)),
        # The best of what agrees: one session has both cores, and batches of two are faster for it.
        ({"sessions": 1}, choice(1, 2, 2)),
        ({"session_threads": 2}, choice(1, 2, 2)),
        ({"max_batch_size": 2}, choice(2, 1, 2)),
        ({"sessions": 1, "max_batch_size": 1}, choice(1, 2, 1)),
        # Never tried: taken as it is said.
        ({"max_batch_size": 128}, choice(2, 1, 128)),
        ({"sessions": 5}, choice(5, 1, 1)),
    ],
)
def test_settings_narrow_the_choice(
    tiny_bundle: Bundle, measured: list[int], settings: dict[str, int], chosen: Choice
) -> None:
    given = Settings(threads=2, **settings)  # type: ignore[arg-type]
    assert tuned(tiny_bundle, given).choice == chosen
    assert tuned(tiny_bundle, given).choice == chosen  # from the file, which keeps no settings
    assert tuned(tiny_bundle, Settings(threads=2)).choice == choice(2, 1, 1)
    assert measured == [2]


# The log


def test_curve_and_choice_are_one_line() -> None:
    curve = (way(2, 1, 1, 433.2), way(2, 1, 2, 420), way(1, 2, 1, 304))
    line = Tuning(cores=2, curve=curve, choice=choose(curve)).line()
    assert line == (
        "2 sessions of 1 threads, batches up to 1 "
        "(tried on 2 cores: 2x1: 1=433.2/s 2=420/s; 1x2: 1=304/s)"
    )
    assert "tried on 2 cores: nothing" in Tuning(cores=2, curve=(), choice=choose(curve)).line()


def test_every_worker_says_it_at_start(server: Any, tiny_bundle: Bundle) -> None:
    lines = [line for line in server.log.read_text().splitlines() if " answers by " in line]
    assert len(lines) == 1
    assert f"tiny:{tiny_bundle.manifest.version} answers by " in lines[0]
    assert "/s" in lines[0]
