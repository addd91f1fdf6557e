from __future__ import annotations

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

from service.asgi import ALL_ENDPOINTS
from service.bundle.manifest import Manifest
from service.errors import RequestError
from service.metrics import _SPARE_BYTES, Metrics
from service.server.worker_slots import METRIC_FILE_TYPES, RESERVED_BYTES

ROOT = Path(__file__).parents[2]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


def wrappers(metrics: Metrics) -> list[MetricWrapperBase]:
    return [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]


def families(registry: CollectorRegistry) -> dict[str, Metric]:
    return {family.name: family for family in registry.collect()}


def test_every_metric_has_our_prefix_and_a_help_text(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    metric_families = families(registry)
    assert len(metric_families) == len(wrappers(metrics)) == 16
    assert all(name.startswith("graft_") for name in metric_families)
    assert all(family.documentation for family in metric_families.values())


def test_names_end_in_their_unit(metrics: Metrics, registry: CollectorRegistry) -> None:
    units = {"histogram": ("_seconds", "_pictures"), "gauge": ("_pictures", "_info", "_ratio")}
    for family in families(registry).values():
        if family.type in units:
            assert family.name.endswith(units[family.type])


def test_counts_are_kept_by_label(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.requests.labels("/predict", 200).inc()
    metrics.requests.labels("/predict", 413).inc(2)
    for status, count in (("200", 1), ("413", 2)):
        labels = {"endpoint": "/predict", "status": status}
        assert registry.get_sample_value("graft_requests_total", labels) == count


def test_known_series_start_at_0(
    metrics: Metrics, registry: CollectorRegistry, manifest: Manifest
) -> None:
    """Otherwise Prometheus would not see the first error as an increase."""
    metrics.initialize(["/predict", "/model"])
    metrics.show_model(manifest)
    value = registry.get_sample_value
    kinds = RequestError.__subclasses__()
    alert_statuses = [kind.status for kind in kinds if kind.status == 429 or kind.status >= 500]
    for endpoint in ("/predict", "/model"):
        for status in {200, 500, *alert_statuses}:
            labels = {"endpoint": endpoint, "status": str(status)}
            assert value("graft_requests_total", labels) == 0
        assert value("graft_request_seconds_count", {"endpoint": endpoint}) == 0
    for kind in kinds:
        assert value("graft_refusals_total", {"reason": kind.code}) == 0
    for label in manifest.classes:
        assert value("graft_predictions_total", {"label": label}) == 0


@pytest.mark.parametrize("is_shared", [True, False])
def test_a_challenger_is_shown_until_it_is_replaced(
    make_directory: Any, manifest: Manifest, is_shared: bool
) -> None:
    metrics = Metrics(shared=make_directory() if is_shared else None)
    assert "graft_shadow_pictures_total{" not in metrics.exposition().decode()
    metrics.show_challenger(manifest)
    metrics.show_challenger(manifest.model_copy(update={"id": "f" * 64}))
    metrics.show_challenger(manifest, is_used=False)
    metrics.count_shadow("agree")
    lines = metrics.exposition().decode().splitlines()
    (info,) = [line for line in lines if line.startswith("graft_shadow_info{")]
    assert info == 'graft_shadow_info{name="tiny",version="ffffffffffff"} 1.0'
    counts = {line for line in lines if line.startswith("graft_shadow_pictures_total{")}
    assert counts == {
        f'graft_shadow_pictures_total{{result="{result}"}} {count}'
        for result, count in (("agree", 1.0), ("disagree", 0.0), ("failed", 0.0), ("shed", 0.0))
    }


@pytest.mark.parametrize("is_shared", [True, False])
def test_a_model_that_is_no_longer_served_is_hidden(
    make_directory: Any, manifest: Manifest, is_shared: bool
) -> None:
    metrics = Metrics(shared=make_directory() if is_shared else None)
    new_manifest = manifest.model_copy(update={"id": "f" * 64})
    metrics.show_model(manifest)
    metrics.show_model(new_manifest)
    metrics.show_model(manifest, is_served=False)
    text = metrics.exposition().decode()
    (line,) = [line for line in text.splitlines() if line.startswith("graft_model_info{")]
    assert 'version="ffffffffffff"' in line
    assert "graft_queue_depth_pictures 0.0" in text  # only models are hidden at 0
    assert "_created" not in text


def test_gauges_of_several_workers_are_merged(metrics: Metrics) -> None:
    """Without a multiprocess mode, each process would have its own series."""
    gauges = [m for m in wrappers(metrics) if m._type == "gauge"]
    assert len(gauges) == 5
    assert all(gauge._multiprocess_mode in ("livesum", "livemax") for gauge in gauges)


WORKER_SCRIPT = """
import os
from service.metrics import Metrics
from service.server.runtime_directory import join_runtime_directory
directory = join_runtime_directory()
metrics = Metrics(shared=directory)
metrics.queue_depth.inc(29)
metrics.pictures.inc(3)
print(directory.slot, flush=True)
os._exit(0)  # as a kill: nothing is cleaned up
"""


def run_worker() -> int:
    """Run a worker that counts 3 pictures and is killed with 29 in its queue; return its slot."""
    command = [sys.executable, "-c", WORKER_SCRIPT]
    completed = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    return int(completed.stdout)


def test_counters_of_dead_workers_are_kept_and_gauges_dropped(directory: Any) -> None:
    metrics = Metrics(shared=directory)
    metrics.queue_depth.inc(2)
    run_worker()
    text = metrics.exposition().decode()
    assert "graft_queue_depth_pictures 2.0" in text
    assert "graft_pictures_total 3.0" in text


@pytest.mark.slow
def test_a_worker_continues_the_counts_of_a_dead_one(directory: Any) -> None:
    """It reuses the slot: new slots would need ever more files, and a full disk has no space."""
    before = run_worker(), sorted(directory.path.iterdir())
    after = run_worker(), sorted(directory.path.iterdir())
    assert before == after
    assert before[0] == 1
    assert "graft_pictures_total 6.0" in Metrics(shared=directory).exposition().decode()


def test_all_known_series_fit_into_the_reserved_bytes(directory: Any, manifest: Manifest) -> None:
    """prometheus_client enlarges a full file by itself, which kills the process on a full disk."""
    metrics = Metrics(shared=directory)
    metrics.initialize(endpoint.path for endpoint in ALL_ENDPOINTS)
    for endpoint in ALL_ENDPOINTS:
        for status in range(400, 420):  # more statuses than the service has
            metrics.requests.labels(endpoint.path, status)
    metrics.show_model(manifest)
    metrics.show_challenger(manifest)
    spare = _SPARE_BYTES
    for kind in METRIC_FILE_TYPES:
        path = directory.path / f"{kind}_0.db"
        assert path.stat().st_size == RESERVED_BYTES
        used_bytes = int.from_bytes(path.read_bytes()[:4], sys.byteorder)
        assert 0 < used_bytes < RESERVED_BYTES - (spare if kind == "gauge_livemax" else 0)


def test_classes_of_many_models_get_space_or_are_not_counted(
    directory: Any, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels without disk space are not counted, but predicted all the same."""
    metrics = Metrics(shared=directory)
    large_manifest = manifest.model_copy(
        update={"classes": tuple(f"{n:04} é" * 4 for n in range(600))}
    )
    metrics.show_model(large_manifest)
    path = directory.path / "counter_0.db"
    used_bytes = int.from_bytes(path.read_bytes()[:4], sys.byteorder)
    assert RESERVED_BYTES < used_bytes + _SPARE_BYTES <= path.stat().st_size
    assert path.stat().st_blocks * 512 >= path.stat().st_size
    monkeypatch.setattr(directory, "reserve", lambda kind, size_bytes: False)
    other_manifest = manifest.model_copy(update={"classes": ("new", "newer"), "id": "f" * 64})
    metrics.show_model(other_manifest)
    metrics.count_prediction("new")
    metrics.count_prediction(large_manifest.classes[0])
    text = metrics.exposition().decode()
    assert "graft_pictures_total 2.0" in text
    assert f'graft_predictions_total{{label="{large_manifest.classes[0]}"}} 1.0' in text
    assert "new" not in text.replace("# HELP", "")
    assert "ffffffffffff" not in text


def test_without_shared_files_a_worker_shows_its_own_metrics(directory: Any) -> None:
    """Cleaners of temporary folders remove old files."""
    metrics = Metrics(shared=directory)
    metrics.pictures.inc(5)
    shutil.rmtree(directory.path)
    assert "graft_pictures_total 5.0" in metrics.exposition().decode()


def test_importing_creates_no_metric() -> None:
    """Metrics can be created only after the worker has joined the shared directory."""
    import service.metrics

    assert not any(isinstance(value, MetricWrapperBase) for value in vars(service.metrics).values())


# Over HTTP


def test_promtool_finds_no_fault(server: Any, draw: Any) -> None:
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("no promtool here (it comes with prometheus)")
    httpx.post(f"{server.url}/predict", files={"image": draw()}).raise_for_status()
    text = httpx.get(f"{server.url}/metrics").content
    command = [promtool, "check", "metrics"]
    completed = subprocess.run(command, input=text, capture_output=True, timeout=60, check=False)
    assert (completed.returncode, completed.stdout + completed.stderr) == (0, b"")


def test_queue_time_is_counted_by_picture(server: Any, draw: Any) -> None:
    def queue_metrics() -> tuple[float, float]:
        samples = server.metrics()
        return samples["graft_queue_seconds_count"], samples["graft_queue_seconds_sum"]

    count, seconds = queue_metrics()
    started = time.monotonic()
    files = [("images", draw()), ("images", draw()), ("images", b"text")]
    httpx.post(f"{server.url}/predict_batch", files=files).raise_for_status()
    more_count, more_seconds = queue_metrics()
    assert more_count - count == 2  # a picture that cannot be decoded is not queued
    assert 0 <= more_seconds - seconds <= 2 * (time.monotonic() - started)


@pytest.mark.slow
def test_two_workers_show_all_metrics_and_a_killed_worker_is_replaced(
    serve: Any, draw: Any, manifest: Manifest
) -> None:
    with serve(BENTOML_CONFIG_OPTIONS="services.graft.workers=2") as server:
        samples = server.metrics()
        registry = CollectorRegistry()
        Metrics(registry)
        for name, family in families(registry).items():
            suffix = {"counter": "_total", "histogram": "_count", "gauge": ""}[family.type]
            if name.startswith("graft_shadow_"):  # there is no challenger
                continue
            assert any(key.partition("{")[0] == name + suffix for key in samples), name
        for endpoint in ("/predict", "/predict_batch", "/model", "/admin/reload"):
            assert samples[f'graft_requests_total{{endpoint="{endpoint}",status="200"}}'] == 0
        for kind in RequestError.__subclasses__():
            assert samples[f'graft_refusals_total{{reason="{kind.code}"}}'] == 0
        for label in manifest.classes:
            assert samples[f'graft_predictions_total{{label="{label}"}}'] == 0

        def predict() -> None:
            files = {"image": draw()}
            httpx.post(f"{server.url}/predict", files=files, timeout=60).raise_for_status()

        for _ in range(10):
            predict()
        killed, remaining = server.workers()
        killed.send_signal(signal.SIGKILL)
        psutil.wait_procs([killed], timeout=10)
        deadline = time.monotonic() + 60
        while {worker.pid for worker in server.workers()} - {killed.pid, remaining.pid} == set():
            assert time.monotonic() < deadline, "the killed worker was not replaced"
            time.sleep(0.2)
        for _ in range(10):
            predict()
        samples = server.metrics()
        assert samples["graft_pictures_total"] == 20  # including those of the killed worker
        assert samples["graft_queue_depth_pictures"] == 0
        assert [v for k, v in samples.items() if k.startswith("graft_model_info{")] == [1]
