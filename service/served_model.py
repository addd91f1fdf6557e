"""The model that answers requests: a predictor with its scheduler, deadlines and metrics."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from service.bundle.reading import Bundle
from service.bundle.samples import read_samples
from service.engine.classification import Classification, join_labels
from service.engine.device import fallback_warning, load_predictor, runtime_info
from service.engine.predictor import Predictor
from service.engine.scheduler import Job, Scheduler
from service.engine.session_config import TuningResult
from service.errors import DeadlineExceeded
from service.explanation.explainer import Explainer, Explanation
from service.explanation.explanation_thread import ExplanationThread
from service.imaging import Limits
from service.metrics import Metrics
from service.monitoring.drift import DriftMonitor
from service.monitoring.drift_reference import DriftReference
from service.monitoring.shadow import Shadow
from service.schemas import classified_json
from service.server import tracing
from service.server.bentoml_configuration import worker_count
from service.settings import Settings

Shown = TypeVar("Shown")


class ServedModel:
    """A loaded model that classifies pictures; a reload replaces the whole object.

    Attributes:
        report: its report, an HTML page; None if it has none, or if GRAFT_SHOW_PICTURES is false.
        samples: sample pictures, as JPEGs; empty if GRAFT_SHOW_PICTURES is false.

    Args:
        bundle: a verified bundle.
        tuning: the number of sessions, of threads per session, and of pictures per batch.
        settings: only the device, the threads, the limits on pictures, the size of the queue, the
            deadline, top_k, the confidence, the novelty and show_pictures are used.
        metrics: the metrics in which this object records pictures, durations, drift, model and
            device.
        shadow: is offered each picture file that was classified, but not explained.

    Raises:
        BundleError: the model cannot be loaded or does not reproduce its golden answers, or the
            reference of drift is damaged.
        SettingError: GRAFT_DEVICE requires a GPU that cannot be used.
    """

    def __init__(
        self,
        bundle: Bundle,
        tuning: TuningResult,
        settings: Settings,
        metrics: Metrics,
        shadow: Shadow | None = None,
    ) -> None:
        self.bundle, self.tuning = bundle, tuning
        self.manifest = bundle.manifest
        self._settings, self._metrics, self._shadow = settings, metrics, shadow
        choice = tuning.choice
        threads = settings.usable_threads()
        self._predictor = load_predictor(
            bundle, settings.device, choice.session_threads, choice.sessions
        )
        self.report = bundle.report() if settings.show_pictures else None
        self.samples = read_samples(bundle) if settings.show_pictures else []
        self.fallback = fallback_warning(settings.device, self._predictor)
        self.runtime = runtime_info(settings.device, self._predictor, worker_count(), threads)
        reference = DriftReference.read(bundle)
        self._drift = DriftMonitor(reference, metrics.show_drift) if reference else None
        # Pass functions, not bound methods: a reference cycle through this object would keep the
        # old model in memory after a reload, until the garbage collector runs.
        self._scheduler = Scheduler(
            functools.partial(_decode, self._predictor, settings.limits(), metrics),
            functools.partial(_classify, self._predictor, metrics),
            threads=threads,
            sessions=choice.sessions,
            max_batch_size=choice.max_batch_size,
            max_queue_size=settings.max_queue_size,
        )
        self._explanations = ExplanationThread(Explainer(self._predictor, settings.show_pictures))
        metrics.show_model(bundle.manifest)
        metrics.show_runtime(self.runtime)

    @property
    def is_full(self) -> bool:
        """Whether the queue is full, so that no further picture is admitted."""
        return self._scheduler.is_full

    @property
    def is_calm(self) -> bool:
        """Whether fewer pictures are admitted than half the number of threads."""
        return self._scheduler.is_calm

    @contextmanager
    def admit(self, pictures: int) -> Iterator[None]:
        """Reserve places in the queue for `pictures` pictures until the `with` block ends.

        Raises:
            Overloaded: the queue has too few free places.
        """
        with self._scheduler.admit(pictures):
            self._metrics.queue_depth.inc(pictures)
            try:
                yield
            finally:
                self._metrics.queue_depth.dec(pictures)

    async def classify(self, data: bytes, top_k: int | None = None) -> dict[str, object]:
        """Decode and classify one picture, within the deadline.

        Args:
            data: the bytes of a picture file.
            top_k: number of classes in the result; None = GRAFT_TOP_K.

        Returns:
            The JSON of a `schemas.Classified`.

        Raises:
            RequestError: the picture is refused, or its deadline has passed.
        """
        verdict = self._predictor.judge(await self.classification(data), self._settings, top_k)
        return classified_json(verdict)

    async def classification(self, picture: bytes | NDArray[np.uint8]) -> Classification:
        """Compute the classification of a picture, within the deadline.

        Args:
            picture: the bytes of a picture file, or a decoded picture in the model's input size:
                (size, size, 3) uint8, RGB.

        Raises:
            RequestError: the picture is refused, or its deadline has passed.
            ValueError: the decoded picture has another shape or dtype.
        """
        if isinstance(picture, bytes):
            job = self._scheduler.submit(picture)
        else:
            size = self._predictor.image_size
            if picture.shape != (size, size, 3) or picture.dtype != np.uint8:
                raise ValueError(
                    f"a decoded picture must be ({size}, {size}, 3) uint8, not {picture.shape} "
                    f"{picture.dtype}"
                )
            job = self._scheduler.submit_decoded(picture.copy())
        classification = await self._answer(job)
        labels = [label for label, _ in self._predictor.labels(classification.probabilities)]
        for label in labels:
            self._metrics.count_prediction(label)
        if self._drift:
            self._drift.add(classification)
        if self._shadow and isinstance(picture, bytes):
            self._shadow.offer(picture, join_labels(labels))
        return classification

    async def explain(
        self, data: bytes, label: str | None, show: Callable[[Explanation], Shown]
    ) -> Shown:
        """Explain why a picture has a class, within the deadline.

        The picture is decoded and classified as all others. The rest runs in the thread for
        explanations.

        Args:
            data: the bytes of a picture file.
            label: the class to explain; None = the most probable class.
            show: makes the result from the explanation, in the thread.

        Raises:
            NotExplainable: the model has no heat maps, or its files cannot be read.
            Overloaded: too many explanations are in progress.
            RequestError: the label is unknown, the picture is refused, or its deadline has passed.
        """
        # In a thread, because an unknown label is compared with all classes.
        await asyncio.to_thread(self._explanations.check, label)
        seconds = self._settings.deadline_seconds
        deadline = asyncio.get_running_loop().time() + seconds
        with self._explanations.admit():
            job = self._scheduler.submit(data)
            probabilities = (await self._answer(job)).probabilities
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    return await asyncio.wrap_future(
                        self._explanations.submit(job.image, probabilities, label, show)
                    )
        raise DeadlineExceeded(
            f"the picture was not explained within {seconds:g} s; try again later"
        )

    async def _answer(self, job: Job[Classification]) -> Classification:
        """Wait for the classification of a submitted job, until the deadline."""
        seconds = self._settings.deadline_seconds
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    classification = await job.wait()
                decoded_at, call_started_at = job.times[-3:-1]
                self._metrics.queue_seconds.observe(call_started_at - decoded_at)
                return classification
            # Not raised inside `except TimeoutError`: the TimeoutError would become the context of
            # this error, and close a reference cycle through the task that holds the picture.
            raise DeadlineExceeded(
                f"the picture was not classified within {seconds:g} s; try again later"
            )
        finally:
            tracing.record_stages(tuple(job.times))

    def close(self) -> None:
        """Remove the model from /metrics, finish all admitted pictures, then stop the threads."""
        self._metrics.show_model(self.bundle.manifest, is_served=False)
        self._scheduler.close()
        self._explanations.close()
        if self._drift:
            self._drift.close()  # a new model shows its own drift after its next pictures


def _decode(
    predictor: Predictor, limits: Limits, metrics: Metrics, data: bytes
) -> NDArray[np.uint8]:
    with metrics.decode_seconds.time():
        return predictor.decode(data, limits)


def _classify(
    predictor: Predictor, metrics: Metrics, images: NDArray[np.uint8]
) -> list[Classification]:
    metrics.batch_size.observe(len(images))
    with metrics.inference_seconds.time():
        outputs = predictor.run(images)
    return predictor.interpret(outputs)
