from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.metrics import MetricWrapperBase

from service.bundle import Manifest
from service.errors import RequestError
from service.metrics import Metrics, exposition

ROOT = Path(__file__).parents[2]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


def families(registry: CollectorRegistry) -> dict[str, Metric]:
    return {family.name: family for family in registry.collect()}


def test_every_metric_is_ours_by_name_and_says_what_it_is(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    found = families(registry)
    assert len(found) == len(vars(metrics)) == 11
    assert all(name.startswith("graft_") for name in found)
    assert all(family.documentation for family in found.values())


def test_names_end_in_their_unit(metrics: Metrics, registry: CollectorRegistry) -> None:
    units = {"histogram": ("_seconds", "_pictures"), "gauge": ("_pictures", "_info")}
    for family in families(registry).values():
        if family.type in units:
            assert family.name.endswith(units[family.type])


def test_counts_are_kept_by_label(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.requests.labels("/predict", 200).inc()
    metrics.requests.labels("/predict", 413).inc(2)
    for status, count in (("200", 1), ("413", 2)):
        labels = {"endpoint": "/predict", "status": status}
        assert registry.get_sample_value("graft_requests_total", labels) == count


def test_what_is_known_beforehand_begins_at_0(
    metrics: Metrics, registry: CollectorRegistry, manifest: Manifest
) -> None:
    """So that the first error is a rise, not a series that was never 0."""
    metrics.begin(["/predict", "/model"])
    metrics.show(manifest)
    value = registry.get_sample_value
    kinds = RequestError.__subclasses__()
    watched = [kind.status for kind in kinds if kind.status == 429 or kind.status >= 500]
    for endpoint in ("/predict", "/model"):
        for status in {200, 500, *watched}:
            labels = {"endpoint": endpoint, "status": str(status)}
            assert value("graft_requests_total", labels) == 0
        assert value("graft_request_seconds_count", {"endpoint": endpoint}) == 0
    for kind in kinds:
        assert value("graft_refusals_total", {"reason": kind.code}) == 0
    for label in manifest.classes:
        assert value("graft_predictions_total", {"label": label}) == 0


def test_a_model_that_is_served_no_more_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    code = """
from service.metrics import Metrics, exposition
class Manifest:
    name, plugin, classes = "tiny", "colour:mean", ()
    def __init__(self, version): self.version = version
metrics = Metrics()
metrics.show(Manifest("old"))
metrics.show(Manifest("new"))
metrics.show(Manifest("old"), is_served=False)
print(exposition().decode())
"""
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stdout
    (line,) = [line for line in shown.splitlines() if line.startswith("graft_model_info{")]
    assert 'version="new"' in line
    assert "graft_queue_depth_pictures 0.0" in shown  # only models are hidden at 0


def test_gauges_of_several_workers_are_put_together(metrics: Metrics) -> None:
    """Without a mode of its own each process would show a line of its own."""
    gauges = [m for m in vars(metrics).values() if m._type == "gauge"]
    assert len(gauges) == 2
    assert all(gauge._multiprocess_mode in ("livesum", "livemax") for gauge in gauges)


def test_gauges_of_dead_workers_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    code = """
import os
from service.metrics import Metrics
Metrics().queue_depth.inc(29)
os._exit(0)  # as a kill: nothing is cleaned up
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    mine = tmp_path / f"gauge_livesum_{os.getpid()}.db"
    (left,) = tmp_path.glob("gauge_livesum_*.db")
    mine.write_bytes(left.read_bytes())
    shown = exposition().decode()
    assert "graft_queue_depth_pictures 29.0" in shown  # this process' alone, not 58
    assert not left.exists()
    assert mine.exists()


def test_importing_creates_no_metric() -> None:
    """They must wait until the worker knows where the workers' figures are put together."""
    import service.metrics

    assert not any(isinstance(value, MetricWrapperBase) for value in vars(service.metrics).values())


# From outside


def test_prometheus_own_check_finds_nothing_to_say(server: Any, draw: Any) -> None:
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("no promtool here (it comes with prometheus)")
    httpx.post(f"{server.url}/predict", files={"image": draw()}).raise_for_status()
    shown = httpx.get(f"{server.url}/metrics").content
    command = [promtool, "check", "metrics"]
    done = subprocess.run(command, input=shown, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_queue_time_is_counted_by_picture(server: Any, draw: Any) -> None:
    def waited() -> tuple[float, float]:
        shown = server.metrics()
        return shown["graft_queue_seconds_count"], shown["graft_queue_seconds_sum"]

    count, seconds = waited()
    started = time.monotonic()
    files = [("images", draw()), ("images", draw()), ("images", b"text")]
    httpx.post(f"{server.url}/predict_batch", files=files).raise_for_status()
    more_count, more_seconds = waited()
    assert more_count - count == 2  # what cannot be decoded is in no queue
    assert 0 <= more_seconds - seconds <= 2 * (time.monotonic() - started)


@pytest.mark.slow
def test_two_workers_show_everything_from_the_start_and_a_killed_one_is_replaced(
    serve: Any, draw: Any, manifest: Manifest
) -> None:
    with serve(BENTOML_CONFIG_OPTIONS="services.graft.workers=2") as server:
        shown = server.metrics()
        registry = CollectorRegistry()
        Metrics(registry)
        for name, family in families(registry).items():
            suffix = {"counter": "_total", "histogram": "_count", "gauge": ""}[family.type]
            assert any(key.partition("{")[0] == name + suffix for key in shown), name
        for endpoint in ("/predict", "/predict_batch", "/model", "/admin/reload"):
            assert shown[f'graft_requests_total{{endpoint="{endpoint}",status="200"}}'] == 0
        for kind in RequestError.__subclasses__():
            assert shown[f'graft_refusals_total{{reason="{kind.code}"}}'] == 0
        for label in manifest.classes:
            assert shown[f'graft_predictions_total{{label="{label}"}}'] == 0

        def predict() -> None:
            files = {"image": draw()}
            httpx.post(f"{server.url}/predict", files=files, timeout=60).raise_for_status()

        for _ in range(10):
            predict()
        killed, other = server.workers()
        killed.send_signal(signal.SIGKILL)
        psutil.wait_procs([killed], timeout=10)
        deadline = time.monotonic() + 60
        while {worker.pid for worker in server.workers()} - {killed.pid, other.pid} == set():
            assert time.monotonic() < deadline, "it was not replaced"
            time.sleep(0.2)
        for _ in range(10):
            predict()
        shown = server.metrics()
        assert shown["graft_pictures_total"] == 20  # those of the killed one included
        assert shown["graft_queue_depth_pictures"] == 0
        assert [v for k, v in shown.items() if k.startswith("graft_model_info{")] == [1]
