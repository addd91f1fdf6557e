"""Where the workers of a service keep the values of their metrics, and how /metrics merges them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Metric,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service.server.runtime_directory import RuntimeDirectory


def store_values_in(shared: RuntimeDirectory | None) -> None:
    """Set where metrics that are created later keep their values: in shared files or in memory.

    prometheus_client makes this choice at import, from PROMETHEUS_MULTIPROC_DIR, which BentoML
    sets. BentoML's folder cannot be used: all services with the same BENTOML_HOME share it, and
    each service empties the folder when it starts.

    Args:
        shared: the directory that the workers share; None = keep the values in memory.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]  # shared files cannot hold these
    if shared is None:
        values.ValueClass = values.MutexValue
        return
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(shared.path)
    slot = shared.slot
    values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]


def merged_exposition(
    shared: RuntimeDirectory | None, registry: CollectorRegistry, hidden_at_0: Collection[str]
) -> bytes:
    """Return the merged values of all workers in Prometheus' text format.

    Args:
        shared: the directory that the workers share; None = show only `registry`.
        registry: the metrics of this worker.
        hidden_at_0: names of gauges of which only series with another value than 0 are shown.
    """
    files = shared.metrics_files() if shared else []
    merge = MultiProcessCollector.merge
    families = merge(files) if files else registry.collect()  # type: ignore[no-untyped-call]
    merged = CollectorRegistry()
    merged.register(_Filter(families, hidden_at_0))
    return generate_latest(merged)


class _Filter(Collector):
    """Hides the series of some gauges that have the value 0."""

    def __init__(self, families: Iterable[Metric], hidden_at_0: Collection[str]) -> None:
        self._families, self._hidden_at_0 = families, hidden_at_0

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            if family.name in self._hidden_at_0:
                family.samples = [sample for sample in family.samples if sample.value]
            yield family
