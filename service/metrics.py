"""What the service counts, shown at /metrics.

Created while a worker starts. The figures of all workers are put together from files that they
share; a worker without such files keeps and shows its own. Seconds and pictures throughout. Series
whose labels are known beforehand begin at 0: a rate over one that appears with its first error
misses it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service.bundle.manifest import Manifest
from service.engine.device import RuntimeInfo
from service.errors import RequestError
from service.server.runtime_directory import RuntimeDirectory

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_PICTURES = (1, 2, 4, 8, 16, 32, 64)
_STATUSES = (200, 429, 500, 503, 504)
"""What alerts ask for; other statuses appear with their first answer."""


_SERIES_BYTES: Final = 512
"""More than prometheus_client takes for a series, but for its labels; names and help take 150."""
_LETTER_BYTES: Final = 12
"""Most that a letter of a label takes there: JSON's escapes of two halves."""
_SPARE_BYTES: Final = 48 * 1024
"""Kept free in a file for series that appear with their first request: 21 KB at most."""


class Metrics:
    """One attribute per metric.

    Args:
        registry: that knows the metrics of this worker.
        shared: where its figures lie for all workers; None keeps them in this process.
    """

    def __init__(
        self, registry: CollectorRegistry | None = None, shared: RuntimeDirectory | None = None
    ) -> None:
        _keep_values_in(shared)
        self._shared = shared
        registry = registry or CollectorRegistry()
        self._registry = registry
        self._by_class: dict[str, Counter] = {}
        self.requests = Counter(
            "graft_requests_total",
            "Requests answered, by endpoint and HTTP status",
            ("endpoint", "status"),
            registry=registry,
        )
        self.request_seconds = Histogram(
            "graft_request_seconds",
            "Time from headers to answer, by endpoint; of none that the full queue turned away",
            ("endpoint",),
            buckets=(*_SECONDS, 10, 30, 60),
            registry=registry,
        )
        self.pictures = Counter("graft_pictures_total", "Pictures classified", registry=registry)
        self.decode_seconds = Histogram(
            "graft_decode_seconds",
            "Time to decode one picture",
            buckets=_SECONDS,
            registry=registry,
        )
        self.queue_seconds = Histogram(
            "graft_queue_seconds",
            "Time that a decoded picture waited for the model",
            buckets=_SECONDS,
            registry=registry,
        )
        self.inference_seconds = Histogram(
            "graft_inference_seconds",
            "Time of one call of the model",
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch_size = Histogram(
            "graft_batch_size_pictures",
            "Pictures in one call of the model",
            buckets=_PICTURES,
            registry=registry,
        )
        self.queue_depth = Gauge(
            "graft_queue_depth_pictures",
            "Pictures let in and not yet answered",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.refusals = Counter(
            "graft_refusals_total",
            "Pictures and requests refused, by reason (the error code)",
            ("reason",),
            registry=registry,
        )
        self.predictions = Counter(
            "graft_predictions_total",
            "Pictures classified, by best class",
            ("label",),
            registry=registry,
        )
        self.model_info = Gauge(
            "graft_model_info",
            "1 for the model being served",
            ("name", "version", "plugin"),
            multiprocess_mode="livemax",
            registry=registry,
        )

        self.runtime_info = Gauge(
            "graft_runtime_info",
            "1 for what the model is computed on; fallback = a GPU was to be used and is not",
            ("device", "provider", "fallback", "onnxruntime"),
            multiprocess_mode="livemax",
            registry=registry,
        )

    def begin(self, endpoints: Iterable[str]) -> None:
        """Show what is known beforehand at 0: these endpoints, and every reason to refuse."""
        for endpoint in endpoints:
            for status in _STATUSES:
                self.requests.labels(endpoint, status)
            self.request_seconds.labels(endpoint)
        for kind in RequestError.__subclasses__():
            self.refusals.labels(kind.code)

    def show(self, manifest: Manifest, is_served: bool = True) -> None:
        """Name a model, and begin to count its classes; or, when another took its place, hide it.

        prometheus_client cannot remove a series that several processes share: see `_Shown`. Where
        a full disk has no room for a name or a class, it is not shown or counted.
        """
        labels = (manifest.name, manifest.version, manifest.plugin)
        if self._has_room("gauge_livemax", labels):
            self.model_info.labels(*labels).set(is_served)
        for label in manifest.classes:
            if label not in self._by_class and self._has_room("counter", (label,)):
                self._by_class[label] = self.predictions.labels(label)

    def show_runtime(self, runtime: RuntimeInfo) -> None:
        """Say what the model is computed on."""
        fallback = str(runtime.is_fallback).lower()
        labels = (runtime.device, runtime.provider, fallback, runtime.onnxruntime)
        self.runtime_info.labels(*labels).set(1)

    def count_prediction(self, label: str) -> None:
        """Count a picture of a class; only those that `show` had room for."""
        self.pictures.inc()
        if label in self._by_class:
            self._by_class[label].inc()

    def exposition(self) -> bytes:
        """The figures of all workers together, as Prometheus reads them."""
        files = self._shared.files() if self._shared else []
        read = MultiProcessCollector.merge
        registry = CollectorRegistry()
        registry.register(_Shown(read(files) if files else self._registry.collect()))  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def _has_room(self, kind: str, labels: Iterable[str]) -> bool:
        letters = sum(map(len, labels))
        needed = _SERIES_BYTES + _LETTER_BYTES * letters + _SPARE_BYTES
        return self._shared is None or self._shared.reserve(kind, needed)


def _keep_values_in(shared: RuntimeDirectory | None) -> None:
    """Let figures that are made from now on lie in the files of a slot, or in this process.

    What prometheus_client chooses at its import follows a variable that BentoML sets, to a folder
    that each service of a BENTOML_HOME empties when it starts.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]  # files have none either
    if shared is None:
        values.ValueClass = values.MutexValue
        return
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(shared.path)
    slot = shared.slot
    values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]


class _Shown(Collector):
    """Figures without the models that are served no more."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            if family.name == "graft_model_info":
                family.samples = [sample for sample in family.samples if sample.value]
            yield family
