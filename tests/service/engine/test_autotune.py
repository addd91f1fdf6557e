from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.bundle.reading import Bundle
from service.engine.autotune import autotune, load_tuning
from service.engine.session_config import SessionConfig, Trial, TuningResult, choose_config
from service.errors import SettingError
from service.settings import Settings

ROOT = Path(__file__).parents[3]


def make_trial(sessions: int, threads: int, batch: int, rate: float) -> Trial:
    return Trial(
        sessions=sessions, session_threads=threads, max_batch_size=batch, pictures_per_second=rate
    )


def make_config(sessions: int, threads: int, batch: int) -> SessionConfig:
    return SessionConfig(sessions=sessions, session_threads=threads, max_batch_size=batch)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of cached results."""
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/tuning"


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replace the trials; return the number of cores of each measurement."""
    cores_measured = []
    curve = (
        make_trial(2, 1, 1, 100),
        make_trial(2, 1, 2, 90),
        make_trial(1, 2, 1, 60),
        make_trial(1, 2, 2, 80),
    )

    def run_trials(bundle: Bundle, cores: int, device: str) -> TuningResult:
        cores_measured.append(cores)
        provider = "CPUExecutionProvider"
        return TuningResult(
            cores=cores, provider=provider, curve=curve, choice=choose_config(curve)
        )

    monkeypatch.setattr("service.engine.autotune.run_trials", run_trials)
    return cores_measured


def test_the_result_is_cached_for_this_model_on_this_machine(
    tiny_bundle: Bundle, measurements: list[int], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(threads=2)
    assert load_tuning(tiny_bundle, settings) is None
    result = autotune(tiny_bundle, settings)
    assert autotune(tiny_bundle, settings) == load_tuning(tiny_bundle, settings) == result
    assert measurements == [2]
    (file,) = cache.iterdir()
    assert file.name.startswith(tiny_bundle.manifest.version)
    autotune(tiny_bundle, Settings(threads=3))  # other cores
    monkeypatch.setattr("service.engine.autotune.processor_name", lambda: "another processor")
    autotune(tiny_bundle, settings)
    manifest = tiny_bundle.manifest.model_copy(update={"id": "f" * 64})
    autotune(Bundle(tiny_bundle.path, manifest), settings)  # another model
    assert measurements == [2, 3, 2, 2]
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
    ids=["empty", "cut short", "not text", "not an object", "no choice", "no session"],
)
def test_a_damaged_cache_file_is_replaced(
    tiny_bundle: Bundle, measurements: list[int], cache: Path, damaged: bytes
) -> None:
    settings = Settings(threads=2)
    result = autotune(tiny_bundle, settings)
    (file,) = cache.iterdir()
    file.write_bytes(damaged)
    assert autotune(tiny_bundle, settings) == result
    assert len(measurements) == 2
    assert json.loads(file.read_text())["cores"] == 2
    assert [path.name for path in cache.iterdir()] == [file.name]


def test_a_cache_that_cannot_be_written_is_a_warning(
    tiny_bundle: Bundle,
    measurements: list[int],
    cache: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache.parent.write_bytes(b"a file is in the way, for root as well")
    assert autotune(tiny_bundle, Settings(threads=2)).choice == make_config(2, 1, 1)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert str(cache) in record.getMessage()


def test_without_a_home_folder_every_start_measures(
    tiny_bundle: Bundle,
    measurements: list[int],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a container whose user is not in /etc/passwd."""

    def cache_folder() -> Path:
        raise SettingError("this user has no home folder: set GRAFT_CACHE")

    monkeypatch.setattr("service.engine.autotune.cache_folder", cache_folder)
    for _ in range(2):
        assert autotune(tiny_bundle, Settings(threads=2)).choice == make_config(2, 1, 1)
    assert measurements == [2, 2]
    assert "set GRAFT_CACHE" in caplog.text


def test_a_result_without_the_expected_gpu_is_not_cached(
    tiny_bundle: Bundle, measurements: list[int], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "service.engine.autotune.preferred_provider", lambda device: "CUDAExecutionProvider"
    )
    autotune(tiny_bundle, Settings(threads=2))
    assert not cache.exists()


def test_concurrent_processes_leave_one_complete_file(tiny_bundle: Bundle, cache: Path) -> None:
    code = f"""
from pathlib import Path
from service.bundle.reading import Bundle
from service.errors import SettingError
from service.settings import Settings
from service.engine.autotune import autotune
print(autotune(Bundle.read(Path({str(tiny_bundle.path)!r})), Settings(threads=1)).choice)
"""
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    (file,) = cache.iterdir()
    assert TuningResult.model_validate_json(file.read_bytes()) == load_tuning(
        tiny_bundle, Settings(threads=1)
    )


# Settings


def test_with_all_three_settings_nothing_is_measured(
    tiny_bundle: Bundle, measurements: list[int], cache: Path
) -> None:
    settings = Settings(sessions=3, session_threads=2, max_batch_size=16)
    result = autotune(tiny_bundle, settings)
    assert (result.choice, result.curve) == (make_config(3, 2, 16), ())
    assert measurements == []
    assert not cache.exists()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, make_config(2, 1, 1)),
        # The best matching trial: with one session on both cores, batches of two are faster.
        ({"sessions": 1}, make_config(1, 2, 2)),
        ({"session_threads": 2}, make_config(1, 2, 2)),
        ({"max_batch_size": 2}, make_config(2, 1, 2)),
        ({"sessions": 1, "max_batch_size": 1}, make_config(1, 2, 1)),
        # Never measured: the setting is used all the same.
        ({"max_batch_size": 128}, make_config(2, 1, 128)),
        ({"sessions": 5}, make_config(5, 1, 1)),
    ],
)
def test_settings_narrow_the_choice(
    tiny_bundle: Bundle, measurements: list[int], settings: dict[str, int], expected: SessionConfig
) -> None:
    all_settings = Settings(threads=2, **settings)  # type: ignore[arg-type]
    assert autotune(tiny_bundle, all_settings).choice == expected
    # now from the cache, which stores no settings
    assert autotune(tiny_bundle, all_settings).choice == expected
    assert autotune(tiny_bundle, Settings(threads=2)).choice == make_config(2, 1, 1)
    assert measurements == [2]


def test_every_worker_logs_its_tuning_at_start(server: Any, tiny_bundle: Bundle) -> None:
    lines = [line for line in server.log.read_text().splitlines() if " runs with " in line]
    assert len(lines) == 1
    assert f"tiny:{tiny_bundle.manifest.version} runs with " in lines[0]
    assert "/s" in lines[0]
