"""Prometheus metrics of the service, exposed at /metrics.

Each worker stores its values in files in the runtime directory, which all workers share. /metrics
merges these files. Without a runtime directory, a worker exposes only its own values. Series that
alerts need are created with the value 0: `rate()` counts only changes of a series, so it would miss
an error that creates its series.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.bundle.manifest import Manifest
from service.engine.device import RuntimeInfo
from service.errors import RequestError
from service.server.metric_values import merged_exposition, store_values_in
from service.server.runtime_directory import RuntimeDirectory

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_PICTURES = (1, 2, 4, 8, 16, 32, 64)
_STATUSES = (200, 429, 500, 503, 504)
"""HTTP statuses whose series start at 0 for every endpoint. The series of any other status appears
with the first response that has this status."""
_INFO: Final = ("graft_model_info", "graft_shadow_info")
"""Metrics of which `exposition` hides the series with the value 0."""
_SERIES_BYTES: Final = 512
"""Upper bound on the size of a series in a metrics file, without the text of its labels."""
_CHARACTER_BYTES: Final = 12
"""Upper bound on the bytes of one character of a label's value in a metrics file. Such values are
stored as JSON, which writes some characters as two escaped surrogates of 6 bytes each."""
_SPARE_BYTES: Final = 48 * 1024
"""Bytes kept free in each file for the series that requests create, which need 21 KB at most."""


class Metrics:
    """The metrics of one worker; each attribute is a metric.

    Args:
        registry: where the metrics are registered; None = a new registry.
        shared: the directory in which all workers store their values; None = keep the values in
            the memory of this process.
    """

    def __init__(
        self, registry: CollectorRegistry | None = None, shared: RuntimeDirectory | None = None
    ) -> None:
        store_values_in(shared)
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
            "Time from the headers of a request to its response, by endpoint; requests that are "
            "refused at once because the queue is full are not counted",
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
            "Duration of one call of the model",
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
            "Pictures queued or being classified",
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
            "Pictures classified, by predicted class",
            ("label",),
            registry=registry,
        )
        self.model_info = Gauge(
            "graft_model_info",
            "1 for the model that is being served",
            ("name", "version", "plugin"),
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.runtime_info = Gauge(
            "graft_runtime_info",
            "1 for the device in use; fallback = true if the CPU is used because no GPU works",
            ("device", "provider", "fallback", "onnxruntime"),
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.drift = Gauge(
            "graft_drift_ratio",
            "Difference of the last pictures from those of the training, as a ratio to its limit: "
            "above 1 is drift; 0 until 100 pictures are classified; the highest of all workers",
            ("kind",),
            multiprocess_mode="livemax",
            registry=registry,
        )

        self.shadow_pictures = Counter(
            "graft_shadow_pictures_total",
            "Pictures sampled for the challenger: agree, disagree, failed or shed (left out)",
            ("result",),
            registry=registry,
        )
        self.shadow_seconds = Histogram(
            "graft_shadow_seconds",
            "Processor time of the challenger for one picture: decoding and the call of the model",
            buckets=_SECONDS,
            registry=registry,
        )
        self.shadow_info = Gauge(
            "graft_shadow_info",
            "1 for the challenger in use",
            ("name", "version"),
            multiprocess_mode="livemax",
            registry=registry,
        )

    def initialize(self, endpoints: Iterable[str]) -> None:
        """Create the series of these endpoints (paths) and of all error codes, with the value 0."""
        for endpoint in endpoints:
            for status in _STATUSES:
                self.requests.labels(endpoint, status)
            self.request_seconds.labels(endpoint)
        for error in RequestError.__subclasses__():
            self.refusals.labels(error.code)

    def show_model(self, manifest: Manifest, is_served: bool = True) -> None:
        """Set `graft_model_info` of a model, and create the counters of its classes.

        The value is 1 for the served model and 0 for an old model. prometheus_client cannot remove
        the series of an old model from shared files, so `exposition` hides it. If the disk
        is full, a new model or class gets no series.
        """
        labels = (manifest.name, manifest.version, manifest.plugin)
        if self._has_room("gauge_livemax", labels):
            self.model_info.labels(*labels).set(is_served)
        for label in manifest.classes:
            if label not in self._by_class and self._has_room("counter", (label,)):
                self._by_class[label] = self.predictions.labels(label)

    def show_challenger(self, manifest: Manifest, is_used: bool = True) -> None:
        """Set `graft_shadow_info` of a challenger, and create the series of all results."""
        labels = (manifest.name, manifest.version)
        if self._has_room("gauge_livemax", labels):
            self.shadow_info.labels(*labels).set(is_used)
        for result in ("agree", "disagree", "failed", "shed"):
            self.shadow_pictures.labels(result)

    def show_runtime(self, runtime: RuntimeInfo) -> None:
        """Set `graft_runtime_info` for the device in use."""
        fallback = str(runtime.is_fallback).lower()
        labels = (runtime.device, runtime.provider, fallback, runtime.onnxruntime)
        self.runtime_info.labels(*labels).set(1)

    def show_drift(self, kind: str, ratio: float) -> None:
        """Set `graft_drift_ratio` for a kind of drift."""
        self.drift.labels(kind).set(ratio)

    def count_prediction(self, label: str) -> None:
        """Count a classified picture, and its class if `show_model` created a counter for it."""
        self.pictures.inc()
        if label in self._by_class:
            self._by_class[label].inc()

    def count_shadow(self, result: str) -> None:
        """Count a picture that was sampled for the challenger."""
        self.shadow_pictures.labels(result).inc()

    def exposition(self) -> bytes:
        """Return the merged values of all workers in Prometheus' text format."""
        return merged_exposition(self._shared, self._registry, _INFO)

    def _has_room(self, kind: str, labels: Iterable[str]) -> bool:
        characters = sum(map(len, labels))
        needed = _SERIES_BYTES + _CHARACTER_BYTES * characters + _SPARE_BYTES
        return self._shared is None or self._shared.reserve(kind, needed)
