"""manifest.json: what a bundle says about itself, as pydantic models."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from service.bundle.files import FileRecord
from service.errors import BundleError
from service.imaging import ALWAYS_ACCEPTED, FULL_RANGE_BITS

SCHEMA_VERSION: Final = 1
MANIFEST: Final = "manifest.json"
MODEL: Final = "model.onnx"
GOLDEN_ANSWERS: Final = "golden/answers.json"
NAME_PATTERN: Final = "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"


class _Part(BaseModel):
    # JSON has no NaN: a manifest with one could be written, and never be read again.
    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False
    )


class InputSpec(_Part):
    """The input of the model: (N, size, size, 3) RGB, as `service.imaging.decode` makes it.

    Pictures of `kinds` are accepted. 16-bit samples range from 0 to 2 ** `significant_bits` - 1.
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
    """How probabilities become an answer. Nothing applies these yet, so they must be neutral."""

    temperature: float = Field(default=1.0, description="divides the logits; 1 = as trained")
    thresholds: dict[str, float] = Field(
        default_factory=dict, description="per class; none = argmax"
    )

    @model_validator(mode="after")
    def _must_be_neutral(self) -> Self:
        if self.temperature != 1.0 or self.thresholds:
            raise ValueError(
                f"temperature {self.temperature:g} and thresholds {self.thresholds}: this version "
                "of Graft applies neither (it accepts 1 and none); serve the bundle with the "
                "version that made it"
            )
        return self


class Manifest(_Part):
    """Everything that a reader needs to know about a bundle."""

    schema_version: Literal[1] = 1
    id: str = Field(default="", description="SHA-256 of this manifest's content without the id")
    name: str = Field(
        max_length=63, pattern=NAME_PATTERN, description="a name that BentoML tags accept"
    )
    created: str = Field(description="ISO 8601, UTC")
    plugin: str = Field(description="family:variant of the backbone")
    classes: tuple[str, ...] = Field(min_length=2, description="in the order of the probabilities")
    input: InputSpec
    outputs: tuple[OutputSpec, ...]
    opset: int
    decoder: str = Field(description="decoder that the model was trained with")
    decision: Decision = Decision()
    metrics: dict[str, float | int] = Field(description="headline figures of metrics.json")
    parity: dict[str, Any] = Field(description="differences between Keras and the exported formats")
    provenance: dict[str, Any] = Field(description="data, weights, seed, versions, commit")
    files: dict[str, FileRecord] = Field(default_factory=dict)

    @field_validator("classes")
    @classmethod
    def _must_differ(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) < len(classes):
            raise ValueError("two classes have the same name")
        return classes

    @property
    def version(self) -> str:
        """The first 12 digits of the id."""
        return self.id[:12]

    def public(self) -> dict[str, Any]:
        """Return what every client may see (GET /model), as JSON."""
        hidden = {"provenance", "files"}
        return {"version": self.version, **self.model_dump(mode="json", exclude=hidden)}


def read_manifest(folder: Path) -> Manifest:
    """Read manifest.json and compare it with its id.

    Raises:
        BundleError: it is missing, altered, invalid, or of an unknown schema version.
    """
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{folder} is not a bundle: it has no {MANIFEST}") from None
    except (ValueError, OSError, RecursionError) as error:
        raise BundleError(f"{folder / MANIFEST} cannot be read: {error}") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"{folder} has schema version {version!r}; this version of Graft reads "
            f"{SCHEMA_VERSION}: serve it with the version that made it, or train again"
        )
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        raise BundleError(f"{folder / MANIFEST} is not a valid manifest: {error}") from error
    if manifest.id != content_id(content):
        raise BundleError(f"{folder / MANIFEST} was altered: its content does not match its id")
    return manifest


def content_id(content: dict[str, Any]) -> str:
    """Hash the JSON of a manifest as it was written; fields added later change no older id."""
    content = {key: value for key, value in content.items() if key != "id"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
