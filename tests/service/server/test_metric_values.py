"""More about shared values is in tests/service/test_metrics.py."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge

from service.server.metric_values import merged_exposition, store_values_in


@pytest.mark.parametrize("is_shared", [True, False])
def test_values_are_stored_and_some_zeros_hidden(directory: Any, is_shared: bool) -> None:
    shared = directory if is_shared else None
    store_values_in(shared)
    registry = CollectorRegistry()
    for name in ("one_info", "other_info"):
        gauge = Gauge(name, "help", ("name",), registry=registry, multiprocess_mode="livemax")
        for label, value in (("a", 1), ("b", 0)):
            gauge.labels(label).set(value)
    text = merged_exposition(shared, registry, ["one_info"]).decode()
    samples = {line for line in text.splitlines() if not line.startswith("#")}
    expected = {'one_info{name="a"} 1.0', 'other_info{name="a"} 1.0', 'other_info{name="b"} 0.0'}
    assert samples == expected
    in_files = "one_info" in (directory.path / "gauge_livemax_0.db").read_bytes().decode("latin-1")
    assert in_files == is_shared
