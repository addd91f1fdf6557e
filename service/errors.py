"""The expected errors, as one small tree.

GraftError                     a message for people: what, where, what next
├── BundleError                a bundle that must not be served
├── ParityError                an exported model that answers differently from the trained one
├── SettingError               a GRAFT_* variable that cannot be used
├── UnreadableFile             a file that cannot be read
├── UsageError                 a command line that cannot be carried out
└── RequestError               a refused request, with its HTTP status and code
    ├── UndecodableImage       400  a picture that is damaged, cut short or empty
    │   └── DamagedImage       400  a picture with valid headers and damaged data
    ├── MalformedRequest       400  a body that does not follow its own content type
    ├── BadParameter           400  a query parameter, such as top_k, with an invalid value
    ├── Unauthorized           401  no API key, or a wrong one
    ├── Disabled               404  a function that is switched off
    ├── ModelNotFound          404  a model or version that is not served here
    ├── RequestTimeout         408  a body that stopped arriving, or arrives too slowly
    ├── ReloadRefused          409  a new model that must not be served; the old one stays
    ├── PayloadTooLarge        413  too many bytes, pixels or pictures
    ├── UnsupportedMediaType   415  not a picture, or of a kind that is not accepted
    ├── MissingField           422  no picture where one is expected
    ├── Overloaded             429  the queue or the upload quota is full
    ├── ClientDisconnected     499  nobody is left to read the answer
    ├── Draining               503  this process is about to stop
    └── DeadlineExceeded       504  no answer in time
"""

from __future__ import annotations

from typing import ClassVar


class GraftError(Exception):
    """An expected failure; its message says what to do, and no stack trace is needed."""


class BundleError(GraftError):
    """The bundle is incomplete, altered, of an unknown version, or its answers have changed."""


class ParityError(GraftError):
    """An exported model answers differently from the trained one; nothing is published."""


class SettingError(GraftError):
    """A setting cannot be used; the message names the variable, its value and valid values."""


class UnreadableFile(GraftError):
    """It is not a file, or cannot be opened or read."""

    code: ClassVar[str] = "unreadable_file"


class UsageError(GraftError):
    """A command line names something that does not exist, is empty, or cannot be written."""


class RequestError(GraftError):
    """A refused request, answered as `{"error": {"code": ..., "message": ...}}`."""

    status: ClassVar[int]
    code: ClassVar[str]
    retry_after_seconds: ClassVar[int | None] = None

    @property
    def headers(self) -> dict[str, str]:
        if self.retry_after_seconds is None:
            return {}
        return {"Retry-After": str(self.retry_after_seconds)}


class UndecodableImage(RequestError):
    """The picture is damaged, cut short or empty."""

    status = 400
    code = "undecodable_image"


class DamagedImage(UndecodableImage):
    """The headers of the picture are valid; its data is damaged or cut short."""


class MalformedRequest(RequestError):
    """The body does not follow its own content type."""

    status = 400
    code = "malformed_request"


class BadParameter(RequestError):
    """A query parameter, such as `top_k`, has an invalid value."""

    status = 400
    code = "bad_parameter"


class Unauthorized(RequestError):
    """The service requires an API key, and the request has none or a wrong one."""

    status = 401
    code = "unauthorized"

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class Disabled(RequestError):
    """This function is switched off."""

    status = 404
    code = "disabled"


class ModelNotFound(RequestError):
    """The service has another model, or another version of it."""

    status = 404
    code = "model_not_found"


class RequestTimeout(RequestError):
    """The body stopped arriving, or arrives too slowly; the connection is closed."""

    status = 408
    code = "request_timeout"

    @property
    def headers(self) -> dict[str, str]:
        return {"Connection": "close"}


class ReloadRefused(RequestError):
    """The new model must not be served; the old one still answers."""

    status = 409
    code = "reload_refused"


class PayloadTooLarge(RequestError):
    """Too many bytes, pixels or pictures."""

    status = 413
    code = "too_large"

    def __init__(self, message: str, reason: str = "") -> None:
        """`reason`: what is too large and what is accepted, without advice to a client."""
        super().__init__(message)
        self.reason = reason or message


class UnsupportedMediaType(RequestError):
    """Not a picture, or of a kind that is not accepted; the message names the kind if known."""

    status = 415
    code = "unsupported_media_type"

    def __init__(self, message: str, kind: str = "", remedy: str = "") -> None:
        """`kind`: e.g. `JPEG 2000`, "" = unknown; `remedy`: what the sender can do."""
        super().__init__(message)
        self.kind, self.remedy = kind, remedy


class MissingField(RequestError):
    """There is no picture where one is expected."""

    status = 422
    code = "missing_field"


class Overloaded(RequestError):
    """The queue, or the memory for uploads, is full; try again later."""

    status = 429
    code = "overloaded"
    retry_after_seconds = 1


class ClientDisconnected(RequestError):
    """The client disconnected before its answer; only metrics and the log show this."""

    status = 499  # as in nginx; HTTP has no such status
    code = "client_gone"


class Draining(RequestError):
    """This process is about to stop; try again, and another one will answer."""

    status = 503
    code = "draining"
    retry_after_seconds = 1


class DeadlineExceeded(RequestError):
    """The answer took too long."""

    status = 504
    code = "deadline_exceeded"
