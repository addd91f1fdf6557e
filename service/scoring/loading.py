"""Use a model in a Python program: `load("classifier:latest").predict("leaf.jpg")`."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.bundle.signature import load_verified
from service.engine.device import load_predictor
from service.engine.predictor import Predictor
from service.errors import BadParameter, PayloadTooLarge, UndecodableImage
from service.explanation.explainer import Explainer, Explanation
from service.scoring.files import read_file, too_many_bytes
from service.settings import Settings

_PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}
"""Pillow's modes that PNG supports. Images in other modes are converted to RGB, except those in
`_INTEGER_MODES`. Mode F is refused."""
_INTEGER_MODES = {"I", "I;16B", "I;16L", "I;16N"}
"""Pillow's modes with integer gray values. Images in these modes are converted to 16 bits, because
Pillow's conversion to RGB would clip their values at 255."""


@dataclass(frozen=True)
class ClassScore:
    """The label of a class, and its probability (`score`), from 0 to 1."""

    label: str
    score: float


@dataclass(frozen=True)
class Prediction(ClassScore):
    """The label of the most probable class of a picture, and its probability, from 0 to 1.

    Attributes:
        top: the most probable classes, most probable first.
        set: the classes that contain the true one with the confidence GRAFT_CONFIDENCE, most
            probable first; None if that is 0, or if the model has none.
        known: whether the picture is like the training pictures; None if GRAFT_NOVELTY is false, or
            if the model cannot tell.
        novelty: how unlike the training pictures the picture is, 0 to 1; None if `known` is.
        labels: the labels of the picture, most probable first; may be empty; None if the model is
            single-label.
    """

    top: tuple[ClassScore, ...]
    set: tuple[str, ...] | None = None
    known: bool | None = None
    novelty: float | None = None
    labels: tuple[ClassScore, ...] | None = None


class Model:
    """A model that classifies pictures in this process; `load` checks it and returns it.

    Attributes:
        name: tag of the model, NAME:VERSION.
        classes: labels of all classes, in the order of the model's outputs.
    """

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        manifest = predictor.bundle.manifest
        self.name = f"{manifest.name}:{manifest.version}"
        self.classes = manifest.classes
        self._predictor, self._settings = predictor, settings
        self._explainer = Explainer(predictor, settings.show_pictures)

    def __repr__(self) -> str:
        return f"<Model {self.name}, {len(self.classes)} classes>"

    def predict(
        self, picture: str | os.PathLike[str] | bytes | Image.Image, top_k: int | None = None
    ) -> Prediction:
        """Classify one picture, as POST /predict does.

        Args:
            picture: the path of a file, the bytes of a file, or a Pillow image.
            top_k: number of classes in `Prediction.top`; None for the value of GRAFT_TOP_K.

        Raises:
            UnreadableFile: the file cannot be read.
            RequestError: the picture cannot be decoded, is too large, or has a format that this
                model does not accept; or `top_k` is not a whole number from 1 to the number of
                classes.
            TypeError: `picture` has another type, for example a NumPy array.
        """
        count = len(self.classes)
        if top_k is not None and (not isinstance(top_k, int) or not 1 <= top_k <= count):
            raise BadParameter(f"top_k must be a whole number from 1 to {count}, not {top_k!r}")
        image = self._decode(picture)
        (classification,) = self._predictor.classify(image[np.newaxis])
        verdict = self._predictor.judge(classification, self._settings, top_k)
        top = tuple(ClassScore(label, score) for label, score in verdict.ranking)
        return Prediction(
            top[0].label,
            top[0].score,
            top,
            None if verdict.label_set is None else tuple(verdict.label_set),
            verdict.is_known,
            verdict.novelty,
            None if verdict.labels is None else tuple(ClassScore(*pair) for pair in verdict.labels),
        )

    def explain(
        self, picture: str | os.PathLike[str] | bytes | Image.Image, label: str | None = None
    ) -> Explanation:
        """Explain why a class has its probability, as POST /explain does.

        The first call loads the model a second time, with the operations for heat maps.

        Args:
            picture: as for `predict`.
            label: the class to explain; None = the most probable class.

        Raises:
            UnreadableFile, RequestError, TypeError: as `predict`; also if the model has no such
                class, or no heat maps.
            BundleError: a file of the bundle cannot be read, or was replaced.
        """
        self._explainer.check(label)
        image = self._decode(picture)
        return self._explainer.explain(image, self._predictor.predict(image[np.newaxis])[0], label)

    def _decode(self, picture: str | os.PathLike[str] | bytes | Image.Image) -> NDArray[np.uint8]:
        limits = self._settings.limits()
        if not isinstance(picture, Image.Image):
            return self._predictor.decode(self._read(picture), limits)
        try:
            return self._predictor.decode(_encode(picture), limits)
        except PayloadTooLarge as error:
            raise PayloadTooLarge(
                f"the Pillow image has {picture.width} x {picture.height} pixels, which is too "
                "many: pass the path of its file instead, or shrink it first"
            ) from error

    def _read(self, picture: str | os.PathLike[str] | bytes) -> bytes:
        max_bytes = self._settings.max_image_bytes
        if not isinstance(picture, (str, bytes, os.PathLike)):
            raise TypeError(
                "`picture` must be a path, the bytes of a file, or a Pillow image, not "
                f"{type(picture).__name__}"
            )
        if not isinstance(picture, bytes):
            return read_file(Path(picture), max_bytes)
        if len(picture) > max_bytes:
            raise too_many_bytes(len(picture), max_bytes)
        return picture


def load(reference: str | os.PathLike[str] | None = None) -> Model:
    """Load a model, and check it as the service does before it starts.

    The GRAFT_* variables for the model, the device and single pictures, such as GRAFT_TOP_K, apply
    as in the service. GRAFT_THREADS is the number of threads that one call of `predict` uses. The
    environment variable BENTOML_DO_NOT_TRACK is set to True, unless it has a value.

    Args:
        reference: a BentoML tag, e.g. classifier:latest, or the folder of a bundle; None for the
            value of GRAFT_MODEL.

    Raises:
        BundleError: there is no such model, it is damaged, or its probabilities for the golden
            pictures differ from the recorded ones.
        SettingError: a GRAFT_* variable cannot be used, for example because its value is invalid.
    """
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    settings = Settings.from_environment()
    name = settings.model if reference is None else os.fspath(reference)
    bundle = load_verified(name, settings.verify_key)
    return Model(load_predictor(bundle, settings.device, settings.usable_threads()), settings)


def _encode(picture: Image.Image) -> bytes:
    """Encode a Pillow image as PNG, with its EXIF metadata, so that `Predictor.decode` can read it.

    Raises:
        UndecodableImage: the pixels cannot be read, or `_storable` cannot convert them.
    """
    buffer = io.BytesIO()
    try:
        exif = picture.getexif()
        _storable(picture).save(buffer, "PNG", compress_level=0, exif=exif)
    except (ValueError, OSError, SystemError) as error:
        raise UndecodableImage(f"the Pillow image cannot be read: {error}") from error
    return buffer.getvalue()


def _storable(picture: Image.Image) -> Image.Image:
    """Convert an image to a mode that PNG supports, without a change of integer values.

    Raises:
        ValueError: the image has mode F, or integers that do not fit in 16 bits.
    """
    if picture.mode == "F":
        raise ValueError(
            "it has mode F, which has no fixed range of values; scale the values to 0..255, then "
            "convert it to mode L"
        )
    if picture.mode in _INTEGER_MODES:
        values = np.asarray(picture)
        if values.min(initial=0) < 0 or values.max(initial=0) > np.iinfo(np.uint16).max:
            raise ValueError(
                f"it has mode {picture.mode} and values below 0 or above 65,535; scale the values "
                "to 0..255, then convert it to mode L"
            )
        return Image.fromarray(values.astype(np.uint16))
    return picture if picture.mode in _PNG_MODES else picture.convert("RGB")
