"""Settings of the service; each field is a GRAFT_* variable and a row of docs/serving.md."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from service.api_keys import read_keys, split_keys
from service.imaging import MAX_PIXELS, Limits
from service.system.resources import usable_cores
from service.system.variables import read_fields

_ORIGIN: Final = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^/\s*]+")
MAX_WAIT_SECONDS: Final = 30.0
"""Upper limit of a request's timeouts, because the request occupies the queue or upload memory."""
_AUTOTUNED: Final = "0 = the value that is fastest on this machine, measured at the first start"
_MIB: Final = 1024 * 1024


class Settings(BaseModel):
    """The settings of one process, which `Settings.from_environment()` reads at start-up."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    model: str = Field(
        "classifier:latest", min_length=1, description="BentoML tag or bundle folder to serve"
    )
    top_k: int = Field(5, ge=1, description="number of classes per picture, most probable first")
    confidence: float = Field(
        0.9,
        ge=0,
        lt=1,
        description="share of pictures whose true class is in the `set` of labels in a result; "
        "0 = results have no `set`",
    )
    novelty: bool = Field(
        True,
        description="whether results say if the picture is like the training pictures (`known`, "
        "`novelty`)",
    )
    show_pictures: bool = Field(
        True,
        description="whether clients get the pictures of the training data that a bundle contains: "
        "its report, and sample pictures in /ui",
    )
    max_image_bytes: int = Field(40 * _MIB, ge=1, description="largest accepted picture, in bytes")
    max_request_bytes: int = Field(64 * _MIB, ge=1, description="limit on a request body, in bytes")
    max_upload_bytes: int = Field(
        256 * _MIB,
        ge=1,
        description="limit on the total size of all request bodies that a worker holds in memory, "
        "in bytes; above this limit, the status is 429",
    )
    max_pixels: int = Field(
        MAX_PIXELS,
        ge=1,
        description="largest accepted width x height, in pixels; pictures that need more than "
        f"{Limits.memory_bytes / 1e6:.0f} MB or {Limits.seconds:g} seconds to decode are refused",
    )
    max_pictures: int = Field(32, ge=1, description="largest number of pictures in one request")
    sessions: int = Field(
        0, ge=0, le=256, description=f"number of concurrent calls of the model; {_AUTOTUNED}"
    )
    session_threads: int = Field(
        0, ge=0, le=256, description=f"number of CPU threads per model call; {_AUTOTUNED}"
    )
    max_batch_size: int = Field(
        0, ge=0, description=f"largest number of pictures in one call of the model; {_AUTOTUNED}"
    )
    max_queue_size: int = Field(
        64,
        ge=1,
        description="largest number of pictures that are queued or being classified in a worker; "
        "above it, the status is 429",
    )
    deadline_seconds: float = Field(
        10.0,
        gt=0,
        le=MAX_WAIT_SECONDS,
        description="time limit for a picture, from arrival to result; above it, the status is 504",
    )
    upload_timeout_seconds: float = Field(
        MAX_WAIT_SECONDS,
        gt=0,
        le=MAX_WAIT_SECONDS,
        description="longest pause while a request body arrives; above it, the status is 408",
    )
    upload_bytes_per_second: int = Field(
        240,  # as in IIS and Kestrel
        ge=0,
        description="lowest speed at which a request's body may arrive, averaged over "
        "GRAFT_UPLOAD_TIMEOUT_SECONDS; below it, the status is 408",
    )
    keep_alive_seconds: float = Field(
        75.0,
        gt=0,
        le=3600,
        description="time before an idle connection is closed; must be longer than the idle "
        "timeout of a proxy in front of the service",
    )
    drain_seconds: float = Field(
        2.0,
        ge=0,
        le=300,
        description="time after SIGTERM during which /readyz and new requests get status 503; then "
        "the server stops. A server that runs on a terminal stops at once",
    )
    api_keys: str = Field(
        "",
        repr=False,
        description="accepted API keys, separated by commas; without these and without "
        "GRAFT_API_KEYS_FILE, everybody may use the service",
    )
    api_keys_file: str = Field(
        "", description="path of a file with accepted API keys, one per line; read at start-up"
    )
    cors_origins: str = Field(
        "",
        description="origins, separated by commas, whose web pages may use the service (CORS); "
        "* = all origins, empty = only pages of this server",
    )
    verify_key: str = Field(
        "",
        description="path of a public key (PEM): only bundles signed with the matching private key "
        "are served; empty = bundles need no signature",
    )
    shadow: str = Field(
        "",
        description="BentoML tag or bundle folder of a challenger: a model that classifies a share "
        "of the pictures after they were answered, to compare it; empty = none",
    )
    shadow_share: float = Field(
        0.1, ge=0, le=1, description="share of the pictures that the challenger is shown"
    )
    reload: bool = Field(
        False,
        description="allow POST /admin/reload and SIGHUP to load another model; with the tag of a "
        "champion in GRAFT_MODEL, also load each new champion",
    )
    access_log: bool = Field(False, description="log each request as a line of JSON")
    threads: int = Field(
        0,
        ge=0,
        le=256,  # ONNX Runtime itself has no limit
        description="number of CPU threads of each worker; 0 = the cores of the container, divided "
        "equally among the workers",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|(gpu|cuda)(:\d{1,3})?)$",
        description="device for the model: cpu; gpu or gpu:N (start-up fails without this GPU); or "
        "auto = a GPU if ONNX Runtime can use one, else the CPU (the log and /model show which)",
    )

    @model_validator(mode="after")
    def _one_request_must_fit(self) -> Self:
        if self.max_pictures > self.max_queue_size:
            raise ValueError(
                f"GRAFT_MAX_PICTURES (={self.max_pictures}) must not be above "
                f"GRAFT_MAX_QUEUE_SIZE (={self.max_queue_size}): a request with that many pictures "
                "would always be refused"
            )
        if self.max_request_bytes > self.max_upload_bytes:
            raise ValueError(
                f"GRAFT_MAX_REQUEST_BYTES (={self.max_request_bytes}) must not be above "
                f"GRAFT_MAX_UPLOAD_BYTES (={self.max_upload_bytes}): a request of that size would "
                "always be refused"
            )
        return self

    @field_validator("api_keys")
    @classmethod
    def _must_hold_a_key(cls, text: str) -> str:
        if text:
            split_keys(text)
        return text

    @field_validator("cors_origins")
    @classmethod
    def _must_hold_origins(cls, text: str) -> str:
        for origin in _split(text):
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is not an origin: write scheme://host or scheme://host:port in "
                    "lower case, without a path or a final slash"
                )
        return text

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the variables `GRAFT_<FIELD>`, and reject misspelt ones; ignore all others.

        Raises:
            SettingError: a value cannot be used; or another GRAFT* variable has a name that is
                similar to a setting or contains a word such as TOKEN. If GRAFT_TOKEN were ignored,
                anybody could use the service.
        """
        return read_fields(cls, environment)

    @property
    def requires_keys(self) -> bool:
        """Whether requests need an API key."""
        return bool(self.api_keys or self.api_keys_file)

    def keys(self) -> list[str]:
        """Return the API keys in GRAFT_API_KEYS and in the file that GRAFT_API_KEYS_FILE names.

        Raises:
            SettingError: the file cannot be read, contains no key, or contains an invalid key.
        """
        keys = split_keys(self.api_keys) if self.api_keys else []
        return keys + (read_keys(Path(self.api_keys_file)) if self.api_keys_file else [])

    def origins(self) -> list[str]:
        """Return the items of `cors_origins` as a list."""
        return _split(self.cors_origins)

    def limits(self) -> Limits:
        """Return the limits on decoding a picture."""
        return Limits(pixels=self.max_pixels)

    def usable_threads(self) -> int:
        """Return `threads`; if it is 0, the number of cores that this process may use."""
        return self.threads or usable_cores()


def _split(text: str) -> list[str]:
    return [item for part in text.split(",") if (item := part.strip())]
