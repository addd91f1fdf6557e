"""Settings of the service: a field is one GRAFT_* variable and one row of docs/serving.md."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from service.errors import SettingError
from service.imaging import MAX_PIXELS, Limits
from service.server.api_keys import read_keys, split_keys
from service.system.resources import usable_cores

PREFIX = "GRAFT_"
_MIN_SIMILARITY: Final = 0.9
"""Similarity (difflib) from which an unknown name counts as a typing error."""
_SECRET: Final = re.compile(r"KEY|TOKEN|AUTH|SECRET|PASS|PWD|CRED|BEARER|LOGIN|JWT|VERIFY")
"""Names that people expect to protect the service."""
_KUBERNETES: Final = re.compile(
    r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$"
)
"""Endings of variables that Kubernetes sets for Services, for example one called graft-auth."""
_ORIGIN: Final = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^/\s*]+")
MAX_WAIT_SECONDS: Final = 30.0
"""Upper bound of timeouts: waiting requests occupy the queue or the memory for uploads."""
_MIB = 1024 * 1024


class Settings(BaseModel):
    """Read once, when the service starts, by `Settings.from_environment()`."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    model: str = Field(
        "classifier:latest", min_length=1, description="BentoML tag or bundle folder to serve"
    )
    top_k: int = Field(5, ge=1, description="classes listed in an answer, best first")
    max_image_bytes: int = Field(40 * _MIB, ge=1, description="largest picture accepted, in bytes")
    max_request_bytes: int = Field(
        64 * _MIB, ge=1, description="largest request body accepted, in bytes"
    )
    max_upload_bytes: int = Field(
        256 * _MIB,
        ge=1,
        description="most bytes of all request bodies in a worker's memory at a time; above, 429",
    )
    max_pixels: int = Field(
        MAX_PIXELS,
        ge=1,
        description="largest picture accepted, width x height; pictures that would take more than "
        f"{Limits.memory_bytes / 1e6:.0f} MB or {Limits.seconds:g} seconds to decode are refused "
        "too",
    )
    max_pictures: int = Field(32, ge=1, description="most pictures in one /predict_batch request")
    sessions: int = Field(
        0, ge=0, le=256, description="most calls of the model at a time; 0 = the fastest measured"
    )
    session_threads: int = Field(
        0, ge=0, le=256, description="threads of each call; 0 = the fastest measured"
    )
    max_batch_size: int = Field(
        0, ge=0, description="most pictures in one call of the model; 0 = the fastest measured"
    )
    max_queue_size: int = Field(
        64, ge=1, description="most pictures queued or being classified; above, 429"
    )
    deadline_seconds: float = Field(
        10.0,
        gt=0,
        le=MAX_WAIT_SECONDS,
        description="longest wait for an answer after the picture has arrived; then 504",
    )
    upload_timeout_seconds: float = Field(
        MAX_WAIT_SECONDS,
        gt=0,
        le=MAX_WAIT_SECONDS,
        description="longest pause within a request's body; then 408",
    )
    upload_bytes_per_second: int = Field(
        240,  # as in IIS and Kestrel
        ge=0,
        description="least speed of a request's body, averaged over GRAFT_UPLOAD_TIMEOUT_SECONDS; "
        "below, 408",
    )
    keep_alive_seconds: float = Field(
        75.0,
        gt=0,
        le=3600,
        description="how long an idle connection is kept; must be longer than in a proxy in front",
    )
    drain_seconds: float = Field(
        2.0,
        ge=0,
        le=300,
        description="after SIGTERM, time for which /readyz and new requests get 503 before the "
        "server closes; 0 on a terminal",
    )
    api_keys: str = Field(
        "",
        repr=False,
        description="accepted API keys, separated by commas; none = everybody may use the service",
    )
    api_keys_file: str = Field(
        "", description="path of a file with API keys, one per line; read at the start"
    )
    cors_origins: str = Field(
        "",
        description="origins, separated by commas, whose web pages may use the service (CORS); "
        "* = all, none = only pages of this server",
    )
    verify_key: str = Field(
        "",
        description="path of a public key: only bundles signed by its private key are served; "
        "none = any",
    )
    reload: bool = Field(
        False, description="allow POST /admin/reload and SIGHUP to load another model"
    )
    access_log: bool = Field(False, description="log each request as a line of JSON")
    threads: int = Field(
        0,
        ge=0,
        le=256,  # ONNX Runtime starts any number of threads
        description="processor threads of each worker; 0 = the cores of the container, divided "
        "among the workers",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|(gpu|cuda)(:\d{1,3})?)$",
        description="device of the model: auto = a GPU if ONNX Runtime can use one, else the CPU "
        "(the log and /model say which); cpu; gpu or gpu:N = that GPU, or the start fails",
    )

    @model_validator(mode="after")
    def _one_request_must_fit(self) -> Self:
        if self.max_pictures > self.max_queue_size:
            raise ValueError(
                f"GRAFT_MAX_PICTURES (={self.max_pictures}) must not be above "
                f"GRAFT_MAX_QUEUE_SIZE (={self.max_queue_size}): such "
                "requests would never be accepted"
            )
        if self.max_request_bytes > self.max_upload_bytes:
            raise ValueError(
                f"GRAFT_MAX_REQUEST_BYTES (={self.max_request_bytes}) must not be above "
                f"GRAFT_MAX_UPLOAD_BYTES (={self.max_upload_bytes}): such "
                "requests would never be accepted"
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
                    "an origin is scheme://host or scheme://host:port in lower case, without a "
                    "path or a final slash"
                )
        return text

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the variables named `GRAFT_<FIELD>`; ignore others that are not typing errors.

        (Kubernetes itself sets `GRAFT_SERVICE_HOST` and the like for a Service called graft.)

        Raises:
            SettingError: a value cannot be used, or an unknown name resembles a setting or a key:
                if GRAFT_APIKEYS or GRAFT_TOKEN were ignored, the service would be open.
        """
        names = [PREFIX + field.upper() for field in cls.model_fields]
        for name in sorted(environment.keys() - set(names)):
            _refuse_typing_error(name, names)
        values = {
            field: environment[PREFIX + field.upper()]
            for field in cls.model_fields
            if environment.get(PREFIX + field.upper())
        }
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SettingError("; ".join(_explain(problem) for problem in error.errors())) from None

    @property
    def requires_keys(self) -> bool:
        """Whether requests need an API key."""
        return bool(self.api_keys or self.api_keys_file)

    def keys(self) -> list[str]:
        """Return the accepted API keys of variable and file.

        Raises:
            SettingError: the file cannot be used.
        """
        named = split_keys(self.api_keys) if self.api_keys else []
        return named + (read_keys(Path(self.api_keys_file)) if self.api_keys_file else [])

    def origins(self) -> list[str]:
        """Return the origins of `cors_origins`."""
        return _split(self.cors_origins)

    def limits(self) -> Limits:
        """Return the limits on decoding a picture."""
        return Limits(pixels=self.max_pixels)

    def usable_threads(self) -> int:
        """Return `threads`, or the number of cores that this process may use."""
        return self.threads or usable_cores()


def _split(text: str) -> list[str]:
    return [item for part in text.split(",") if (item := part.strip())]


def _refuse_typing_error(name: str, names: list[str]) -> None:
    """Raise SettingError if an unknown variable seems to be meant as a setting."""
    upper = name.upper()
    if not upper.startswith(PREFIX.rstrip("_")) or _KUBERNETES.search(upper):
        return
    matches = get_close_matches(upper, names, 1, _MIN_SIMILARITY)
    if not matches and _SECRET.search(upper):
        matches = [f"{PREFIX}API_KEYS"]
    if matches:
        raise SettingError(f"{name} is not a setting; did you mean {matches[0]}?")


def _explain(problem: Mapping[str, object]) -> str:
    location = problem["loc"]
    if not (isinstance(location, tuple) and location):
        return str(problem["msg"]).removeprefix("Value error, ")
    field = str(location[0])
    value = f" (={problem['input']!r})" if Settings.model_fields[field].repr else ""
    return f"{PREFIX}{field.upper()}{value}: {problem['msg']}"
