"""A model for Python programs: `load("classifier:latest").predict("leaf.jpg")`."""

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
from service.scoring.files import read_file
from service.settings import Settings

_PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}
"""Modes of Pillow that PNG can hold. Others are converted to RGB, those below to 16 bits."""
_INTEGER_MODES = {"I", "I;16B", "I;16L", "I;16N"}
"""Modes of integers, usually of 16 bits; Pillow itself would clip them at 255."""


@dataclass(frozen=True)
class ClassScore:
    """A class and its probability, 0 to 1."""

    label: str
    score: float


@dataclass(frozen=True)
class Prediction(ClassScore):
    """The best class of a picture with its probability, and in `top` the best classes in order."""

    top: tuple[ClassScore, ...]


class Model:
    """A verified model that classifies pictures in this process.

    Attributes:
        name: its tag, NAME:VERSION.
        classes: the labels, in the order of the probabilities.
    """

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        manifest = predictor.bundle.manifest
        self.name = f"{manifest.name}:{manifest.version}"
        self.classes = manifest.classes
        self._predictor, self._settings = predictor, settings

    def __repr__(self) -> str:
        return f"<Model {self.name}, {len(self.classes)} classes>"

    def predict(
        self, picture: str | os.PathLike[str] | bytes | Image.Image, top_k: int | None = None
    ) -> Prediction:
        """Classify one picture, as POST /predict does.

        Args:
            picture: the path of a file, the bytes of a file, or a Pillow picture.
            top_k: number of classes in `top`; None for GRAFT_TOP_K.

        Raises:
            UnreadableFile: the file cannot be read.
            RequestError: the picture cannot be decoded, is too large, or is of a kind that this
                model does not accept; or there are no `top_k` classes.
            TypeError: `picture` is something else, such as an array.
        """
        count = len(self.classes)
        if top_k is not None and (not isinstance(top_k, int) or not 1 <= top_k <= count):
            raise BadParameter(f"top_k must be a whole number from 1 to {count}, not {top_k!r}")
        image = self._decode(picture)
        probabilities = self._predictor.predict(image[np.newaxis])[0]
        ranking = self._predictor.rank(probabilities, top_k or self._settings.top_k)
        top = tuple(ClassScore(label, score) for label, score in ranking)
        return Prediction(top[0].label, top[0].score, top)

    def _decode(self, picture: str | os.PathLike[str] | bytes | Image.Image) -> NDArray[np.uint8]:
        limits = self._settings.limits()
        if not isinstance(picture, Image.Image):
            return self._predictor.decode(self._read(picture), limits)
        try:
            return self._predictor.decode(_encode(picture), limits)
        except PayloadTooLarge as error:
            raise PayloadTooLarge(
                f"the Pillow picture has {picture.width} x {picture.height} pixels, too many to "
                "pass on: pass the path of its file, or shrink it first"
            ) from error

    def _read(self, picture: str | os.PathLike[str] | bytes) -> bytes:
        max_bytes = self._settings.max_image_bytes
        if not isinstance(picture, (str, bytes, os.PathLike)):
            raise TypeError(
                "a picture is a path, the bytes of a file, or a Pillow picture, not "
                f"{type(picture).__name__}"
            )
        if not isinstance(picture, bytes):
            return read_file(Path(picture), max_bytes)
        if len(picture) > max_bytes:
            raise PayloadTooLarge(
                f"the picture has {len(picture):,} bytes; at most {max_bytes:,} are accepted: "
                "shrink it, or set GRAFT_MAX_IMAGE_BYTES"
            )
        return picture


def load(reference: str | os.PathLike[str] | None = None) -> Model:
    """Load a model, after the checks that the service makes before it answers.

    The GRAFT_* settings of the service hold here, too, as far as they concern a single picture.

    Args:
        reference: a BentoML tag, e.g. classifier:latest, or the folder of a bundle; None for
            GRAFT_MODEL.

    Raises:
        BundleError: there is no such model, it is damaged, or it does not reproduce its golden
            answers.
        SettingError: a GRAFT_* variable cannot be used.
    """
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    settings = Settings.from_environment()
    name = settings.model if reference is None else os.fspath(reference)
    bundle = load_verified(name, settings.verify_key)
    return Model(load_predictor(bundle, settings.device, settings.usable_threads()), settings)


def _encode(picture: Image.Image) -> bytes:
    """A picture as PNG, which the one decoder then reads, turned upright by its EXIF data.

    Raises:
        UndecodableImage: its pixels cannot be read, or have no range that an 8-bit picture has.
    """
    buffer = io.BytesIO()
    try:
        exif = picture.getexif()
        _storable(picture).save(buffer, "PNG", compress_level=0, exif=exif)
    except (ValueError, OSError, SystemError) as error:
        raise UndecodableImage(f"the Pillow picture cannot be read: {error}") from error
    return buffer.getvalue()


def _storable(picture: Image.Image) -> Image.Image:
    """The picture in a mode that PNG can hold, its values unchanged where they are integers."""
    if picture.mode == "F":
        raise ValueError("mode F has no fixed range; convert it to 8 bits, e.g. to mode L")
    if picture.mode in _INTEGER_MODES:
        values = np.asarray(picture)
        if values.min(initial=0) < 0 or values.max(initial=0) > np.iinfo(np.uint16).max:
            raise ValueError(f"mode {picture.mode} has values outside of 16 bits")
        return Image.fromarray(values.astype(np.uint16))
    return picture if picture.mode in _PNG_MODES else picture.convert("RGB")
