from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.metrics import MetricWrapperBase

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
    assert len(found) == len(vars(metrics)) == 10
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
