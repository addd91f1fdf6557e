"""A loaded model that decodes pictures and computes the probabilities of their classes."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import MODEL
from service.bundle.reading import Bundle
from service.engine.classification import Classification, ModelOutputs, Verdict
from service.engine.label_sets import in_set, lowest_score
from service.engine.novelty import Novelty
from service.engine.onnx_session import open_session
from service.errors import BundleError
from service.imaging import Limits, decode
from service.settings import Settings

GOLDEN_TOLERANCE = 1e-3
"""Largest allowed difference between a probability of a golden picture and its value at export. A
different processor changes float32 probabilities by about 1e-6, a different version of libjpeg by a
few 1e-4."""


class Predictor:
    """A loaded model that has been checked: it reproduces its golden answers.

    The golden answers are the probabilities of a few pictures in the bundle, recorded at export.

    Args:
        bundle: a bundle that `Bundle.read` has verified.
        threads: number of threads of one call; None = the default of ONNX Runtime.
        sessions: largest number of concurrent calls; further calls wait.
        providers: execution providers, best first; None = all `available_providers`.

    Attributes:
        bundle: the bundle that contains the model.
        classes: labels of the classes, in the order of the probabilities.
        image_size: side of the model's square input, in pixels.
        provider: ONNX Runtime's name of the execution provider in use.
        novelty: measures how novel a picture is; None if the bundle cannot tell, as older bundles.

    Raises:
        BundleError: the model cannot be loaded or does not reproduce its golden answers.
    """

    def __init__(
        self,
        bundle: Bundle,
        threads: int | None = None,
        sessions: int = 1,
        providers: Sequence[Any] | None = None,
    ) -> None:
        self.bundle = bundle
        self.classes = bundle.manifest.classes
        self.image_size = bundle.manifest.input.size
        self._thresholds = np.array([*bundle.manifest.decision.thresholds.values()], np.float32)
        self._true_scores = bundle.true_scores()
        self.novelty = Novelty.read(bundle)
        self._idle_sessions: queue.SimpleQueue[Any] = queue.SimpleQueue()
        model = bundle.content(MODEL)
        try:
            session = open_session(model, threads, providers)
        except BundleError as error:
            raise BundleError(f"{bundle.model_path}: {error}") from error
        self.provider = str(session.get_providers()[0])
        # A single-threaded call runs in its caller's thread, so all calls can share one session and
        # its memory. Multi-threaded calls of one session would have to share one thread pool.
        is_shared = threads == 1
        self._idle_sessions.put(session)
        for _ in range(sessions - 1):
            self._idle_sessions.put(
                session if is_shared else open_session(model, threads, providers)
            )
        self.check_golden()

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Classify a batch: (N, H, W, 3) uint8 RGB -> (N, classes) float32, 0 to 1."""
        return self._run(("probabilities",), images)[0]

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute pooled features of a batch: (N, H, W, 3) uint8 RGB -> (N, features) float32."""
        return self._run(("embedding",), images)[0]

    def run(self, images: NDArray[np.uint8]) -> ModelOutputs:
        """Compute all outputs of the model for a batch: (N, H, W, 3) uint8 RGB."""
        return ModelOutputs(*self._run(("probabilities", "embedding"), images))

    def classify(self, images: NDArray[np.uint8]) -> list[Classification]:
        """Classify a batch, (N, H, W, 3) uint8 RGB, and measure how novel each picture is."""
        return self.interpret(self.run(images))

    def interpret(self, outputs: ModelOutputs) -> list[Classification]:
        """Return the classification of each picture, from the outputs of the model."""
        if self.novelty is None:
            return list(map(Classification, *outputs))
        return list(map(Classification, *outputs, self.novelty.measure(outputs).tolist()))

    def decode(
        self,
        data: bytes,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
    ) -> NDArray[np.uint8]:
        """Decode the bytes of a picture file to (size, size, 3) uint8 RGB, exactly as in training.

        Raises:
            RequestError: the picture cannot be decoded, or the model does not accept its format.
        """
        spec = self.bundle.manifest.input
        return decode(
            data, spec.size, limits, significant_bits=spec.significant_bits, formats=spec.kinds
        )

    def judge(
        self, classification: Classification, settings: Settings, top_k: int | None = None
    ) -> Verdict:
        """Return what an answer says about one picture.

        Args:
            settings: only top_k, the confidence and whether to report the novelty are used.
            top_k: number of classes in the answer; None = GRAFT_TOP_K.
        """
        probabilities, _, novelty = classification
        return Verdict(
            self.rank(probabilities, top_k or settings.top_k),
            self.label_set(probabilities, settings.confidence),
            novelty if settings.novelty else None,
            self.labels(probabilities) if self.is_multi_label else None,
        )

    @property
    def is_multi_label(self) -> bool:
        """Whether the model gives a picture any number of labels, also none."""
        return bool(self._thresholds.size)

    def labels(self, probabilities: NDArray[np.float32]) -> list[tuple[str, float]]:
        """List the labels of a picture as (label, probability) pairs, most probable first.

        These are the labels that reach their thresholds. If the model is single-label, this is the
        most probable class.

        Args:
            probabilities: the (classes,) probabilities of one picture.
        """
        if not self.is_multi_label:
            best = int(probabilities.argmax())
            return [(self.classes[best], float(probabilities[best]))]
        (chosen,) = np.nonzero(probabilities >= self._thresholds)
        order = chosen[(-probabilities[chosen]).argsort(kind="stable")].tolist()
        return [(self.classes[index], float(probabilities[index])) for index in order]

    def rank(self, probabilities: NDArray[np.float32], top_k: int) -> list[tuple[str, float]]:
        """List the `top_k` most probable classes as (class, probability) pairs, best first.

        Args:
            probabilities: the (classes,) probabilities of one picture.
            top_k: number of classes; if it is too large, all classes are listed.
        """
        order = (-probabilities).argsort(kind="stable")[:top_k].tolist()
        scores = probabilities.tolist()
        return [(self.classes[index], scores[index]) for index in order]

    def label_set(self, probabilities: NDArray[np.float32], confidence: float) -> list[str] | None:
        """List the classes that contain the true one with this confidence, most probable first.

        Args:
            probabilities: the (classes,) probabilities of one picture.
            confidence: share of new pictures whose set contains the true class, 0 to 1; 0 = no set.

        Returns:
            At least the most probable class; of a multi-label model, those of the answer, and the
            labels that contain this share of the true labels on average (conformal risk control,
            Angelopoulos et al. 2024). None if `confidence` is 0, if the bundle was made by an older
            version of Graft, or with too few validation pictures for this confidence.
        """
        if not (self._true_scores and confidence):
            return None
        lowest = lowest_score(self._true_scores, confidence)
        if lowest is None:
            return None
        is_in_set = (
            probabilities >= np.minimum(lowest, self._thresholds)  # with all labels of the answer
            if self.is_multi_label
            else in_set(probabilities[np.newaxis], lowest, confidence)[0]
        )
        (chosen,) = np.nonzero(is_in_set)
        ordered = chosen[(-probabilities[chosen]).argsort(kind="stable")]
        return [self.classes[index] for index in ordered.tolist()]

    def check_golden(self) -> None:
        """Classify the golden pictures, and compare the probabilities with the golden answers.

        Raises:
            BundleError: a probability differs by more than GOLDEN_TOLERANCE, the number of classes
                is wrong, or the model cannot classify a golden picture.
        """
        for picture, expected in self.bundle.golden():
            data = self.bundle.content(f"golden/{picture.name}")
            try:
                image = self.decode(data)
                probabilities = self.predict(image[np.newaxis])[0]
            except Exception as error:  # ONNX Runtime raises its own untyped C++ exceptions
                raise BundleError(
                    f"{self.bundle.path}: the model cannot classify golden picture {picture.name} "
                    f"({error}); train the model again"
                ) from error
            if not len(probabilities) == len(expected) == len(self.classes):
                raise BundleError(
                    f"{self.bundle.path}: the manifest lists {len(self.classes)} classes, but the "
                    f"model returns {len(probabilities)} probabilities, and {len(expected)} are "
                    f"recorded for golden picture {picture.name}; train the model again"
                )
            difference = float(np.abs(probabilities - np.asarray(expected, np.float32)).max())
            if not difference <= GOLDEN_TOLERANCE:  # also true for NaN
                raise BundleError(
                    f"{self.bundle.path} does not reproduce its answer to golden picture "
                    f"{picture.name}: a probability differs by {difference:.2g} from the one "
                    f"recorded at export (allowed: {GOLDEN_TOLERANCE:g}). The bundle was made with "
                    f"{self.bundle.manifest.decoder}; install these versions, or train again"
                )

    def _run(
        self, outputs: tuple[str, ...], images: NDArray[np.uint8]
    ) -> list[NDArray[np.float32]]:
        session = self._idle_sessions.get()
        try:
            results: list[NDArray[np.float32]] = session.run(outputs, {"images": images})
        finally:
            self._idle_sessions.put(session)
        return results
