"""The shadow with a challenger that needs no process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.errors import BundleError
from service.metrics import Metrics
from service.monitoring import shadow as shadow_module
from service.monitoring.challenger import Opinion
from service.monitoring.shadow import MAX_BYTES, MAX_PICTURES, Shadow, start_challenger
from service.settings import Settings

MakeShadow = Callable[..., Shadow]


class FakeChallenger:
    """Says that a picture shows its content; a test can make it wait, fail or end."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.is_running = True
        self.error = ""
        self.gate = threading.Event()
        self.gate.set()
        self.pictures: list[bytes] = []

    def classify(self, data: bytes) -> Opinion:
        self.pictures.append(data)
        assert self.gate.wait(20)
        if not self.is_running:
            raise EOFError("its process ended")
        return Opinion(error=self.error) if self.error else Opinion(data.decode(), 0.02)

    def close(self) -> None:
        self.is_running = False
        self.gate.set()


@pytest.fixture
def challenger(manifest: Manifest) -> FakeChallenger:
    return FakeChallenger(manifest)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def make_shadow(challenger: Any, registry: CollectorRegistry) -> Iterator[MakeShadow]:
    shadows = []

    def make_shadow(share: float = 1.0, is_calm: Callable[[], bool] = lambda: True) -> Shadow:
        shadows.append(Shadow(challenger, share, Metrics(registry), is_calm))
        return shadows[-1]

    yield make_shadow
    for shadow in shadows:
        shadow.close()


@pytest.fixture
def counted(registry: CollectorRegistry) -> Callable[..., None]:
    """Wait until the pictures are counted: counted(agree=1, shed=2)."""

    def counted(**expected: int) -> None:
        deadline = time.monotonic() + 20
        names = ("agree", "disagree", "failed", "shed")
        while time.monotonic() < deadline:
            counts = {
                name: registry.get_sample_value("graft_shadow_pictures_total", {"result": name})
                for name in names
            }
            if counts == dict.fromkeys(names, 0) | expected:
                return
            time.sleep(0.005)
        pytest.fail(f"{counts}, not {expected}")

    return counted


def test_labels_are_compared_and_the_time_recorded(
    make_shadow: MakeShadow, registry: CollectorRegistry, counted: Any
) -> None:
    shadow = make_shadow()
    for label in ("red", "red", "blue"):
        shadow.offer(b"red", label)
    counted(agree=2, disagree=1)
    assert registry.get_sample_value("graft_shadow_seconds_sum") == pytest.approx(0.06)


def test_the_challenger_is_announced(
    make_shadow: MakeShadow, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    manifest = make_shadow(0.25).challenger.manifest
    labels = {"name": "tiny", "version": manifest.version}
    assert registry.get_sample_value("graft_shadow_info", labels) == 1
    assert f"tiny:{manifest.version} (GRAFT_SHADOW) is shown 25% of the pictures" in caplog.text


def test_a_random_share_of_the_pictures_is_shown(
    make_shadow: MakeShadow, challenger: FakeChallenger, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadow = make_shadow(0.3, lambda: False)
    numbers = iter((0.0, 0.29, 0.3, 0.99))
    monkeypatch.setattr(shadow_module.random, "random", lambda: next(numbers))
    for _ in range(4):
        shadow.offer(b"red", "red")
    assert len(shadow._waiting) == 2


def test_a_share_of_0_shows_nothing(make_shadow: MakeShadow) -> None:
    shadow = make_shadow(0.0, lambda: False)
    for _ in range(20):
        shadow.offer(b"red", "red")
    assert not shadow._waiting


def test_pictures_wait_until_there_is_little_load(
    make_shadow: MakeShadow, challenger: FakeChallenger, counted: Any
) -> None:
    calm = threading.Event()
    shadow = make_shadow(is_calm=calm.is_set)
    shadow.offer(b"red", "red")
    time.sleep(0.05)
    assert challenger.pictures == []
    calm.set()
    counted(agree=1)


def test_a_picture_is_not_shown_at_once(
    make_shadow: MakeShadow, monkeypatch: pytest.MonkeyPatch, counted: Any
) -> None:
    """Its answer must leave first, even if the service has nothing else to do."""
    monkeypatch.setattr(shadow_module, "PAUSE_SECONDS", 0.2)
    shadow = make_shadow()
    started = time.monotonic()
    shadow.offer(b"red", "red")
    shadow.offer(b"red", "red")
    counted(agree=2)
    assert time.monotonic() - started >= 0.2


def test_under_load_newer_pictures_are_shed(make_shadow: MakeShadow, counted: Any) -> None:
    calm = threading.Event()
    shadow = make_shadow(is_calm=calm.is_set)
    for _ in range(MAX_PICTURES + 3):
        shadow.offer(b"red", "red")
    counted(shed=3)
    calm.set()
    counted(shed=3, agree=MAX_PICTURES)


def test_the_bytes_of_waiting_pictures_are_limited(make_shadow: MakeShadow, counted: Any) -> None:
    shadow = make_shadow(is_calm=lambda: False)
    for size in (MAX_BYTES + 1, MAX_BYTES, 1):
        shadow.offer(bytes(size), "red")
    counted(shed=2)


class Picture(bytes):
    """Bytes that record when they are freed; bytes have no weak references."""

    freed = 0

    def __del__(self) -> None:
        Picture.freed += 1


def test_a_picture_that_was_shown_does_not_stay_in_memory(
    make_shadow: MakeShadow, challenger: FakeChallenger, counted: Any
) -> None:
    Picture.freed = 0
    shadow = make_shadow()
    shadow.offer(Picture(b"red"), "red")
    counted(agree=1)
    challenger.pictures.clear()
    deadline = time.monotonic() + 20
    while not Picture.freed and time.monotonic() < deadline:
        time.sleep(0.005)
    assert Picture.freed


def test_failures_are_counted_and_logged_once(
    make_shadow: MakeShadow,
    challenger: FakeChallenger,
    counted: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shadow = make_shadow()
    challenger.error = "too many pixels"
    for _ in range(3):
        shadow.offer(b"red", "red")
    counted(failed=3)
    challenger.is_running = False
    for _ in range(3):
        shadow.offer(b"red", "red")
    counted(failed=6)
    first, second = [record.getMessage() for record in caplog.records if record.levelno > 20]
    assert "failed: too many pixels; further failures are only counted" in first
    assert "failed: its process ended; further failures are only counted" in second
    assert "reload or restart the service" in second


def test_closing_waits_for_nothing(
    make_shadow: MakeShadow, challenger: FakeChallenger, counted: Any
) -> None:
    challenger.gate.clear()
    shadow = make_shadow()
    for _ in range(3):
        shadow.offer(b"red", "red")
    while not challenger.pictures:
        time.sleep(0.005)
    started = time.monotonic()
    shadow.close()
    assert time.monotonic() - started < 1
    assert not shadow._thread.is_alive()
    counted()  # the picture that was interrupted is not a failure
    assert len(challenger.pictures) == 1


def test_a_reload_shows_pictures_to_the_new_challenger(
    make_shadow: MakeShadow,
    challenger: FakeChallenger,
    manifest: Manifest,
    registry: CollectorRegistry,
    counted: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = FakeChallenger(manifest.model_copy(update={"id": "f" * 64}))
    monkeypatch.setattr(shadow_module, "start_challenger", lambda settings, current: other)
    challenger.gate.clear()
    shadow = make_shadow()
    shadow.offer(b"red", "red")
    while not challenger.pictures:
        time.sleep(0.005)
    shadow.reload(Settings())
    assert shadow.challenger is other
    assert not challenger.is_running
    shadow.offer(b"red", "red")
    counted(agree=1)
    assert other.pictures == [b"red"]
    for used, value in ((challenger.manifest, 0), (other.manifest, 1)):
        labels = {"name": "tiny", "version": used.version}
        assert registry.get_sample_value("graft_shadow_info", labels) == value


@pytest.mark.parametrize("failure", [BundleError("it is damaged"), OSError("no more processes")])
def test_a_failed_reload_is_logged_and_keeps_the_challenger(
    make_shadow: MakeShadow,
    challenger: FakeChallenger,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failure: Exception,
) -> None:
    def start(settings: Settings, current: Any) -> Any:
        raise failure

    monkeypatch.setattr(shadow_module, "start_challenger", start)
    shadow = make_shadow()
    shadow.reload(Settings())
    assert shadow.challenger is challenger
    assert challenger.is_running
    assert f"the challenger is not reloaded: {failure}" in caplog.text


def test_a_challenger_that_is_unchanged_goes_on_unless_it_ended(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow_module, "Challenger", lambda bundle, limits: "started")
    current: Any = FakeChallenger(tiny_bundle.manifest)
    settings = Settings(shadow=str(tiny_bundle.path))
    assert start_challenger(settings, current) is current
    current.is_running = False
    assert start_challenger(settings, current) == "started"


def test_a_missing_challenger_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="GRAFT_SHADOW"):
        start_challenger(Settings(shadow=str(tmp_path / "nothing")))
