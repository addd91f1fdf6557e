"""The pydantic models of manifest.json, which describes a bundle and lists its files."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from service.bundle.files import FileRecord
from service.errors import BundleError
from service.imaging import ALWAYS_ACCEPTED, FULL_RANGE_BITS

SCHEMA_VERSION: Final = 1
MANIFEST: Final = "manifest.json"
MODEL: Final = "model.onnx"
HEAT_MAPS: Final = "heat_maps.onnx.part"
"""The operations that compute heat maps. Bundles of older versions do not have this file."""
SPLIT_TABLE: Final = "split.csv"
THUMBNAILS: Final = "thumbnails.npz"
"""Thumbnails of training pictures; only with --keep-thumbnails."""
GOLDEN_ANSWERS: Final = "golden/answers.json"
CALIBRATION: Final = "calibration.json"
NOVELTY: Final = "novelty.npz"
DRIFT: Final = "drift.npz"
REPORT: Final = "report.html"
NAME_PATTERN: Final = "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"


class _Part(BaseModel):
    # JSON has no NaN: a manifest that contains NaN could be written, but not read again.
    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False
    )


class InputSpec(_Part):
    """The input of the model: N pictures (N, size, size, 3), decoded by `service.imaging.decode`.

    `kinds` are the picture formats that the model accepts, such as JPEG. The samples of 16-bit
    pictures range from 0 to 2 ** `significant_bits` - 1.
    """

    name: Literal["images"] = "images"
    size: int = Field(gt=0, description="side of the square input, in pixels")
    resize: Literal["stretch-bilinear"] = "stretch-bilinear"
    colour: Literal["RGB"] = "RGB"
    dtype: Literal["uint8"] = "uint8"
    range: tuple[Literal[0], Literal[255]] = (0, 255)
    layout: Literal["NHWC"] = "NHWC"
    kinds: tuple[str, ...] = ALWAYS_ACCEPTED
    significant_bits: int = Field(default=FULL_RANGE_BITS, ge=8, le=FULL_RANGE_BITS)


class OutputSpec(_Part):
    """An output of the model."""

    name: str
    shape: tuple[int | str, ...]


class Decision(_Part):
    """How the class or the labels are chosen."""

    temperature: float = Field(
        default=1.0,
        description="divisor of the logits; 1, because the model itself divides by it",
    )
    thresholds: dict[str, float] = Field(
        default_factory=dict,
        description="the lowest probability of each label in an answer, by name, in the order of "
        "the classes; empty for a single-label model, which answers with the most probable class",
    )

    @field_validator("temperature")
    @classmethod
    def _must_be_neutral(cls, temperature: float) -> float:
        if temperature != 1.0:
            raise ValueError(
                f"temperature {temperature:g} is not supported by this version of Graft, which "
                "accepts only temperature 1; serve the bundle with the version that made it"
            )
        return temperature


class Manifest(_Part):
    """The content of manifest.json."""

    schema_version: Literal[1] = 1
    id: str = Field(default="", description="SHA-256 of this manifest's content without the id")
    name: str = Field(
        max_length=63,
        pattern=NAME_PATTERN,
        description="name of the model, which is also its name in BentoML's tags",
    )
    created: str = Field(description="time of creation, ISO 8601, UTC")
    plugin: str = Field(description="name of the backbone, written family:variant")
    task: Literal["single-label", "multi-label"] = Field(
        default="single-label",
        description="single-label = the probabilities of a picture sum to 1, and it has one class; "
        "multi-label = each label has a probability of its own, and a picture has any number",
    )
    classes: tuple[str, ...] = Field(
        min_length=2, description="labels of the classes, in the order of the model's probabilities"
    )
    input: InputSpec
    outputs: tuple[OutputSpec, ...]
    opset: int
    decoder: str = Field(description="versions of the picture decoder used in training")
    decision: Decision = Decision()
    metrics: dict[str, float | int] = Field(description="the most important values of metrics.json")
    parity: dict[str, Any] = Field(
        description="differences between the results of the Keras model and of its exports"
    )
    provenance: dict[str, Any] = Field(
        description="training data, pretrained weights, seed, versions of libraries, commit"
    )
    files: dict[str, FileRecord] = Field(default_factory=dict)

    @field_validator("classes")
    @classmethod
    def _must_differ(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        repeated = [name for name, count in Counter(classes).items() if count > 1]
        if repeated:
            raise ValueError(f"two classes have the name {repeated[0]!r}")
        return classes

    @model_validator(mode="after")
    def _must_have_thresholds(self) -> Self:
        expected = self.classes if self.task == "multi-label" else ()
        if tuple(self.decision.thresholds) != expected:
            raise ValueError(
                f"the thresholds of a {self.task} model must be those of {list(expected)}, in this "
                f"order, not of {list(self.decision.thresholds)}"
            )
        return self

    @property
    def is_multi_label(self) -> bool:
        """Whether the model gives a picture any number of labels, also none."""
        return self.task == "multi-label"

    @property
    def omitted(self) -> set[str]:
        """The fields that manifest.json leaves out, so that older versions can read the bundle."""
        return set() if self.is_multi_label else {"task"}

    @property
    def version(self) -> str:
        """The version in the tag of the model: the first 12 hexadecimal digits of the id."""
        return self.id[:12]

    @property
    def tag(self) -> str:
        """The tag of the model in BentoML's store: NAME:VERSION."""
        return f"{self.name}:{self.version}"

    def public(self) -> dict[str, Any]:
        """Return the JSON for clients (GET /model): the version and most fields of the manifest."""
        hidden = {"provenance", "files"}
        return {"version": self.version, **self.model_dump(mode="json", exclude=hidden)}


def read_manifest(folder: Path) -> Manifest:
    """Read manifest.json and check that its content matches its id.

    Raises:
        BundleError: the manifest is missing, unreadable, altered or invalid, or has an unknown
            schema version.
    """
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(
            f"{folder} is not a bundle: it has no {MANIFEST}; use a folder that has one"
        ) from None
    except (ValueError, OSError, RecursionError) as error:
        raise BundleError(
            f"{folder / MANIFEST} cannot be read ({error}); copy the bundle again"
        ) from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"{folder} has schema version {version!r}, but this version of Graft reads only "
            f"schema version {SCHEMA_VERSION}; serve the bundle with the version of Graft that "
            "made it, or train again"
        )
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        raise BundleError(
            f"{folder / MANIFEST} is not a valid manifest; copy the bundle again, or train again: "
            f"{error}"
        ) from error
    if manifest.id != content_id(content):
        raise BundleError(
            f"{folder / MANIFEST} was altered: its content does not match its id; copy the bundle "
            "again"
        )
    return manifest


def content_id(content: dict[str, Any]) -> str:
    """Compute the id of a manifest: the SHA-256 of its JSON without the id.

    Args:
        content: the JSON in manifest.json. Do not pass the JSON of a `Manifest` that was read from
            an older file: it contains default values of newer fields, so its id would differ.
    """
    content = {key: value for key, value in content.items() if key != "id"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
