"""Every setting of the service: a field is a `GRAFT_*` variable and a row of docs/serving.md."""

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
from service.keys import read_keys, split_keys
from service.system.resources import usable_cores

PREFIX = "GRAFT_"
_NEARLY: Final = 0.9
"""How alike (difflib) another name must be to be taken for a slip of the pen."""
_SECRET: Final = re.compile(r"KEY|TOKEN|AUTH|SECRET|PASS|PWD|CRED|BEARER|LOGIN|JWT|VERIFY")
"""Names of which people expect that they shut the door."""
_KUBERNETES: Final = re.compile(
    r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$"
)
"""How the variables end that Kubernetes sets for Services, be one called graft-auth."""
_ORIGIN: Final = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^/\s*]+")
MAX_WAIT_SECONDS: Final = 30.0
"""Upper bound of the timeouts: who waits holds room in the queue or for uploads all the while."""
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
        description="most bytes of all request bodies in a worker's memory at a time; more are "
        "refused with 429",
    )
    max_pixels: int = Field(
        MAX_PIXELS,
        ge=1,
        description="largest picture accepted, width x height; those that would take more than "
        f"{Limits.memory_bytes / 1e6:.0f} MB or {Limits.seconds:g} seconds to decode are refused "
        "besides",
    )
    max_pictures: int = Field(32, ge=1, description="most pictures in one /predict_batch request")
    sessions: int = Field(
        0, ge=0, le=256, description="most calls of the model at a time; 0 = what was measured"
    )
    session_threads: int = Field(
        0, ge=0, le=256, description="threads of each call; 0 = what was measured"
    )
    max_batch_size: int = Field(
        0, ge=0, description="most pictures in one call of the model; 0 = what was measured"
    )
    max_queue_size: int = Field(
        64, ge=1, description="most pictures being worked on or waiting; more are refused with 429"
    )
    deadline_seconds: float = Field(
        10.0,
        gt=0,
        le=MAX_WAIT_SECONDS,
        description="longest wait for an answer once the picture is there; after it, 504",
    )
    upload_timeout_seconds: float = Field(
        MAX_WAIT_SECONDS,
        gt=0,
        le=MAX_WAIT_SECONDS,
        description="longest time in which nothing of a request's body arrives; after it, 408",
    )
    upload_bytes_per_second: int = Field(
        240,  # as IIS and Kestrel ask for
        ge=0,
        description="fewest bytes of a body that must arrive, on average of "
        "GRAFT_UPLOAD_TIMEOUT_SECONDS; below, 408",
    )
    keep_alive_seconds: float = Field(
        75.0,
        gt=0,
        le=3600,
        description="how long an idle connection is kept; must be longer than a proxy in front "
        "keeps it",
    )
    drain_seconds: float = Field(
        2.0,
        ge=0,
        le=300,
        description="after SIGTERM, time in which /readyz and new requests are answered 503 before "
        "the server closes; 0 on a terminal",
    )
    api_keys: str = Field(
        "",
        repr=False,
        description="keys that may ask, separated by commas; none = everybody may",
    )
    api_keys_file: str = Field(
        "", description="path of a file with such keys, one a line; read at the start"
    )
    cors_origins: str = Field(
        "",
        description="origins, separated by commas, whose web pages may ask (CORS); * = all, "
        "none = only pages of this server",
    )
    verify_key: str = Field(
        "",
        description="path of a public key: only bundles signed by its private key are served; "
        "none = any",
    )
    reload: bool = Field(
        False, description="allow POST /admin/reload and SIGHUP to take another model"
    )
    access_log: bool = Field(False, description="log each request as a line of JSON")
    threads: int = Field(
        0,
        ge=0,
        le=256,  # ONNX Runtime makes as many as it is told: 100,000 took 16 GB
        description="processor threads of each worker; 0 = what the container may use, divided "
        "among the workers",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|(gpu|cuda)(:\d{1,3})?)$",
        description="what the model is computed on: auto = a GPU where ONNX Runtime can use one, "
        "else the CPU, as the log and /model say; cpu; gpu or gpu:N = that GPU, or no start",
    )

    @model_validator(mode="after")
    def _one_request_must_fit(self) -> Self:
        if self.max_pictures > self.max_queue_size:
            raise ValueError(
                f"GRAFT_MAX_PICTURES (={self.max_pictures}) must not be above "
                f"GRAFT_MAX_QUEUE_SIZE (={self.max_queue_size}): such requests could never enter"
            )
        if self.max_request_bytes > self.max_upload_bytes:
            raise ValueError(
                f"GRAFT_MAX_REQUEST_BYTES (={self.max_request_bytes}) must not be above "
                f"GRAFT_MAX_UPLOAD_BYTES (={self.max_upload_bytes}): they could never be received"
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
                    "path or a slash at its end"
                )
        return text

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the variables named `GRAFT_<FIELD>`; others are let be, but for slips of the pen.

        (Kubernetes itself sets `GRAFT_SERVICE_HOST` and the like for a Service called graft.)

        Raises:
            SettingError: a value cannot be used, a name is nearly that of a setting, or sounds like
                a key: unseen, GRAFT_APIKEYS or GRAFT_TOKEN would leave the door open.
        """
        names = [PREFIX + field.upper() for field in cls.model_fields]
        for name in sorted(environment.keys() - set(names)):
            _refuse_slip(name, names)
        given = {
            field: environment[PREFIX + field.upper()]
            for field in cls.model_fields
            if environment.get(PREFIX + field.upper())
        }
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise SettingError("; ".join(_explain(problem) for problem in error.errors())) from None

    @property
    def asks_for_keys(self) -> bool:
        return bool(self.api_keys or self.api_keys_file)

    def keys(self) -> list[str]:
        """The keys that may ask, of variable and file.

        Raises:
            SettingError: the file cannot be used.
        """
        named = split_keys(self.api_keys) if self.api_keys else []
        return named + (read_keys(Path(self.api_keys_file)) if self.api_keys_file else [])

    def origins(self) -> list[str]:
        return _split(self.cors_origins)

    def limits(self) -> Limits:
        """What a picture may cost to decode."""
        return Limits(pixels=self.max_pixels)

    def usable_threads(self) -> int:
        """`threads`, or as many as this process may use cores."""
        return self.threads or usable_cores()


def _split(text: str) -> list[str]:
    return [one for part in text.split(",") if (one := part.strip())]


def _refuse_slip(name: str, names: list[str]) -> None:
    """Raise SettingError where a variable of another name seems to be meant for a setting."""
    upper = name.upper()
    if not upper.startswith(PREFIX.rstrip("_")) or _KUBERNETES.search(upper):
        return
    meant = get_close_matches(upper, names, 1, _NEARLY)
    if not meant and _SECRET.search(upper):
        meant = [f"{PREFIX}API_KEYS"]
    if meant:
        raise SettingError(f"{name} is no setting; is {meant[0]} meant?")


def _explain(problem: Mapping[str, object]) -> str:
    location = problem["loc"]
    if not (isinstance(location, tuple) and location):
        return str(problem["msg"]).removeprefix("Value error, ")
    field = str(location[0])
    given = f" (={problem['input']!r})" if Settings.model_fields[field].repr else ""
    return f"{PREFIX}{field.upper()}{given}: {problem['msg']}"
