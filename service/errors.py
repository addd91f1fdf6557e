"""All expected errors, as one tree of classes.

GraftError                     the base class; the message says what failed, where, and what to do
├── BundleError                a bundle that must not be served
├── ParityError                an exported model whose results differ from the trained model's
├── SettingError               a setting, such as a GRAFT_* variable, that cannot be used
├── UnreadableFile             a file that cannot be read
├── UsageError                 a command line with an option, path or value that cannot be used
└── RequestError               a refused request, with its HTTP status and code
    ├── UndecodableImage       400  a picture that is damaged, cut short or empty
    │   └── DamagedImage       400  a picture with valid headers and damaged data
    ├── MalformedRequest       400  a body that does not match its content type
    ├── BadParameter           400  a query parameter, such as top_k, with an invalid value
    ├── Unauthorized           401  a missing or wrong API key
    ├── Disabled               404  an endpoint that is switched off by a setting
    ├── NotExplainable         404  a model without heat maps
    ├── ModelNotFound          404  a model or version that is not served here
    ├── NotFound               404  a page or picture that the served model does not have
    ├── RequestTimeout         408  a body that stopped arriving or arrived too slowly
    ├── ReloadRefused          409  a new model that cannot be served; the old model stays in use
    ├── PayloadTooLarge        413  too many bytes, pixels or pictures
    ├── UnsupportedMediaType   415  not a picture, or a format that is not accepted
    ├── MissingField           422  a request without a picture
    ├── Overloaded             429  the queue or the memory for uploads is full
    ├── ClientDisconnected     499  the client disconnected before the response
    ├── Draining               503  this process is about to stop
    └── DeadlineExceeded       504  a picture that was not classified before the deadline

Other modules derive more errors from `GraftError`, such as service.system.locks.NoLocksError.
"""

from __future__ import annotations

from typing import ClassVar


class GraftError(Exception):
    """An expected failure. Its message says what to do, so it is shown without a traceback."""


class BundleError(GraftError):
    """The bundle is missing, incomplete or altered, or its schema version is unknown.

    Also raised if the model cannot be loaded or does not reproduce its golden answers.
    """


class ParityError(GraftError):
    """The results of the exported and the trained model differ; no bundle is written."""


class SettingError(GraftError):
    """A setting cannot be used; the message names the setting and says how to correct it."""


class UnreadableFile(GraftError):
    """A path is not a file, or the file cannot be opened or read."""

    code: ClassVar[str] = "unreadable_file"


class UsageError(GraftError):
    """A command line has an unknown option, or a path or value that cannot be used."""


class RequestError(GraftError):
    """A refused request; the response is `{"error": {"code": ..., "message": ...}}`."""

    status: ClassVar[int]
    code: ClassVar[str]
    retry_after_seconds: ClassVar[int | None] = None

    @property
    def headers(self) -> dict[str, str]:
        if self.retry_after_seconds is None:
            return {}
        return {"Retry-After": str(self.retry_after_seconds)}


class UndecodableImage(RequestError):
    """The data of the picture is damaged, cut short or empty."""

    status = 400
    code = "undecodable_image"

    def __init__(self, message: str, reason: str = "") -> None:
        """`reason`: the part of the message that says what is wrong, without the advice."""
        super().__init__(message)
        self.reason = reason or message


class DamagedImage(UndecodableImage):
    """The headers of the picture are valid, but the data after them is damaged or cut short."""


class MalformedRequest(RequestError):
    """The body of the request does not match its content type."""

    status = 400
    code = "malformed_request"


class BadParameter(RequestError):
    """A query parameter, such as `top_k`, has an invalid value."""

    status = 400
    code = "bad_parameter"


class Unauthorized(RequestError):
    """The service requires an API key, and the request has no key or a wrong key."""

    status = 401
    code = "unauthorized"

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class Disabled(RequestError):
    """This endpoint is switched off by a setting of the service."""

    status = 404
    code = "disabled"


class NotExplainable(RequestError):
    """The served model has no heat maps (see docs/bundles.md), or they cannot be read now."""

    status = 404
    code = "not_explainable"


class ModelNotFound(RequestError):
    """The request names a model or version that this service does not serve."""

    status = 404
    code = "model_not_found"


class NotFound(RequestError):
    """The served model does not have this page or picture."""

    status = 404
    code = "not_found"


class RequestTimeout(RequestError):
    """The body of the request stopped arriving or arrived too slowly; the connection is closed."""

    status = 408
    code = "request_timeout"

    @property
    def headers(self) -> dict[str, str]:
        return {"Connection": "close"}


class ReloadRefused(RequestError):
    """The new model cannot be served; the service continues with the old model."""

    status = 409
    code = "reload_refused"


class PayloadTooLarge(RequestError):
    """The request has too many bytes, pixels or pictures."""

    status = 413
    code = "too_large"

    def __init__(self, message: str, reason: str = "") -> None:
        """`reason`: the part of the message that says what is too large, without the advice."""
        super().__init__(message)
        self.reason = reason or message


class UnsupportedMediaType(RequestError):
    """The data is not a picture, or its format is not accepted; the message names the format."""

    status = 415
    code = "unsupported_media_type"

    def __init__(self, message: str, kind: str = "", remedy: str = "") -> None:
        """`kind`: the format, such as `JPEG 2000`; "" = unknown. `remedy`: advice to the sender."""
        super().__init__(message)
        self.kind, self.remedy = kind, remedy


class MissingField(RequestError):
    """The request contains no picture."""

    status = 422
    code = "missing_field"


class Overloaded(RequestError):
    """The queue or the memory for uploads is full; try again after the delay in Retry-After."""

    status = 429
    code = "overloaded"
    retry_after_seconds = 1


class ClientDisconnected(RequestError):
    """The client disconnected before the response; this status appears only in metrics and logs."""

    status = 499  # nginx's status; HTTP does not define one for this
    code = "client_gone"


class Draining(RequestError):
    """This server process is stopping; send the request again to reach another process."""

    status = 503
    code = "draining"
    retry_after_seconds = 1


class DeadlineExceeded(RequestError):
    """The picture was not classified before the deadline."""

    status = 504
    code = "deadline_exceeded"
