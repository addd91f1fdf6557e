"""What the service counts, shown at /metrics.

Created while a worker starts, when BentoML has told prometheus_client where the workers' figures
are put together, so every worker's are in the sum. Seconds and pictures throughout. Series whose
labels are known beforehand begin at 0: a rate over one that appears with its first error misses it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from service.bundle import Manifest
from service.errors import RequestError

_GAUGE_OF = re.compile(r"gauge_live[a-z]*_(\d+)\.db")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_PICTURES = (1, 2, 4, 8, 16, 32, 64)
_STATUSES = (200, 429, 500, 503, 504)
"""What alerts ask for; other statuses appear with their first answer."""


class Metrics:
    """One attribute per metric."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
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

        prometheus_client cannot remove a series that several processes share: see `_Shown`.
        """
        info = self.model_info.labels(manifest.name, manifest.version, manifest.plugin)
        info.set(is_served)
        for label in manifest.classes:
            self.predictions.labels(label)


class _Shown(Collector):
    """The figures of all workers, without the models that are served no more."""

    def __init__(self) -> None:
        self._all = MultiProcessCollector(None)  # type: ignore[no-untyped-call]

    def collect(self) -> Iterator[Metric]:
        for family in self._all.collect():  # type: ignore[no-untyped-call]
            if family.name == "graft_model_info":
                family.samples = [sample for sample in family.samples if sample.value]
            yield family


def exposition() -> bytes:
    """The figures of all workers together, as Prometheus reads them."""
    _forget_dead_workers(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
    registry = CollectorRegistry()
    registry.register(_Shown())
    return generate_latest(registry)


def _forget_dead_workers(folder: Path) -> None:
    """A killed worker's gauges would count for ever: its pictures are in no queue any more."""
    for path in folder.iterdir():
        found = _GAUGE_OF.fullmatch(path.name)
        if not found:
            continue
        try:
            os.kill(int(found[1]), 0)  # asks only whether there is such a process
        except ProcessLookupError:
            with suppress(FileNotFoundError):  # another worker was faster
                mark_process_dead(int(found[1]), str(folder))  # type: ignore[no-untyped-call]
        except PermissionError:  # there is one, of somebody else
            continue
