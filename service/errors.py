"""Everything that can go wrong on purpose, as one small tree.

GraftError                     a message for a person: what, where, what next
├── BundleError                a bundle that must not be served
├── ParityError                an exported model that answers otherwise than the trained one
├── SettingError               a GRAFT_* variable that makes no sense
├── UnreadableFile             a file whose bytes cannot be had
├── WrongUse                   a command line that cannot be followed
└── RequestError               a request that gets a refusal; knows its HTTP status and code
    ├── UndecodableImage       400  bytes that say they are a picture and are not
    │   └── DamagedImage       400  a picture that is damaged or cut short
    ├── MalformedRequest       400  a body that does not follow its own content type
    ├── BadParameter           400  a parameter of the address, such as top_k, that is not accepted
    ├── Unauthorized           401  no key, or not one of ours
    ├── Disabled               404  it is there, and switched off
    ├── ModelNotFound          404  a model, or a version of it, that is not served here
    ├── RequestTimeout         408  the body stands still, or comes too slowly
    ├── ReloadRefused          409  the model to take must not be served: the old one stays
    ├── PayloadTooLarge        413  too many bytes, pixels or pictures
    ├── UnsupportedMediaType   415  no picture, or one of a kind that is not taken
    ├── MissingField           422  no picture where one was expected
    ├── Overloaded             429  the queue, or the room for uploads, is full: come back
    ├── ClientGone             499  nobody is left to read the answer
    ├── Draining               503  this process is about to stop: ask another
    └── DeadlineExceeded       504  no answer in time
"""

from __future__ import annotations

from typing import ClassVar


class GraftError(Exception):
    """An expected failure whose message is enough to act on; no stack trace is needed."""


class BundleError(GraftError):
    """The bundle is incomplete, altered, of an unknown version, or answers differently now."""


class ParityError(GraftError):
    """An exported model does not answer as the trained one does; nothing is published."""


class SettingError(GraftError):
    """A setting cannot be used; the message names the variable, its value and what is accepted."""


class UnreadableFile(GraftError):
    """It is no file, or cannot be opened or read."""

    code: ClassVar[str] = "unreadable_file"


class WrongUse(GraftError):
    """What a command line names is not there, holds nothing to work on, or cannot be written."""


class RequestError(GraftError):
    """A refusal that the caller sees as `{"error": {"code": ..., "message": ...}}`."""

    status: ClassVar[int]
    code: ClassVar[str]
    retry_after_seconds: ClassVar[int | None] = None

    @property
    def headers(self) -> dict[str, str]:
        if self.retry_after_seconds is None:
            return {}
        return {"Retry-After": str(self.retry_after_seconds)}


class UndecodableImage(RequestError):
    """It says it is a picture, and is damaged, cut short or empty."""

    status = 400
    code = "undecodable_image"


class DamagedImage(UndecodableImage):
    """Its headers make it a picture, and its data is damaged or cut short."""


class MalformedRequest(RequestError):
    """The body does not follow its own content type."""

    status = 400
    code = "malformed_request"


class BadParameter(RequestError):
    """A parameter of the address, such as `top_k`, has a value that is not accepted."""

    status = 400
    code = "bad_parameter"


class Unauthorized(RequestError):
    """Keys are asked for, and none or another was sent."""

    status = 401
    code = "unauthorized"

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class Disabled(RequestError):
    """What was asked for is switched off here."""

    status = 404
    code = "disabled"


class ModelNotFound(RequestError):
    """Another model, or another version of it, is served here."""

    status = 404
    code = "model_not_found"


class RequestTimeout(RequestError):
    """The body stood still, or came too slowly; the connection is closed."""

    status = 408
    code = "request_timeout"

    @property
    def headers(self) -> dict[str, str]:
        return {"Connection": "close"}


class ReloadRefused(RequestError):
    """The model to take must not be served; the one before still answers."""

    status = 409
    code = "reload_refused"


class PayloadTooLarge(RequestError):
    """Too many bytes, pixels or pictures."""

    status = 413
    code = "too_large"

    def __init__(self, message: str, reason: str = "") -> None:
        """`reason`: what is too large, and what is accepted, without what a client can do."""
        super().__init__(message)
        self.reason = reason or message


class UnsupportedMediaType(RequestError):
    """No picture, or one of a kind that is not taken; the message names it where it is known."""

    status = 415
    code = "unsupported_media_type"

    def __init__(self, message: str, kind: str = "", remedy: str = "") -> None:
        """`kind`: its name, e.g. `JPEG 2000`, "" where it is not known; `remedy`: what helps."""
        super().__init__(message)
        self.kind, self.remedy = kind, remedy


class MissingField(RequestError):
    """No picture where one was expected."""

    status = 422
    code = "missing_field"


class Overloaded(RequestError):
    """As many pictures, or bytes of uploads, as are let in are being worked on: come back."""

    status = 429
    code = "overloaded"
    retry_after_seconds = 1


class ClientGone(RequestError):
    """The client went away before its answer; only metrics and log ever show this."""

    status = 499  # nginx's number for it; HTTP has none
    code = "client_gone"


class Draining(RequestError):
    """This process is about to stop: ask again, another will answer."""

    status = 503
    code = "draining"
    retry_after_seconds = 1


class DeadlineExceeded(RequestError):
    """No answer was found in time."""

    status = 504
    code = "deadline_exceeded"
