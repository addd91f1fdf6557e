"""Another model without a restart: loaded, tried on its golden pictures, then swapped.

`POST /admin/reload`, or SIGHUP to a worker, looks up GRAFT_MODEL again. Until the new model has
proven itself the old one answers; on any failure it stays. The other workers of this machine
follow within a second.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse

from service.errors import BundleError, Disabled, ReloadRefused
from service.schemas import Reloaded

if TYPE_CHECKING:
    from service.app import Classifier

_POLL_SECONDS = 0.5
_log = logging.getLogger("graft")


async def reload(service: Classifier, request: Request) -> JSONResponse:
    """Take the newest model that GRAFT_MODEL names.

    Raises:
        Disabled: GRAFT_RELOAD is not set.
        ReloadRefused: it must not be served; the old one still is.
    """
    if not service.settings.reload:
        raise Disabled("reloading is off; start the service with GRAFT_RELOAD=1")
    old = service.model.name
    try:
        await service.swap()
    except BundleError as error:
        raise ReloadRefused(f"{error} (version {old.version} still answers)") from error
    _stamp().touch()
    return JSONResponse(Reloaded(old=old, model=service.model.name).model_dump())


async def follow(service: Classifier) -> None:
    """Reload whenever another worker has, for as long as the service runs."""
    seen = _changed()
    while True:
        await asyncio.sleep(_POLL_SECONDS)
        if (changed := _changed()) != seen:
            seen = changed
            try:
                await service.swap()
            except BundleError as error:
                _log.error("the old model stays: %s", error)


def _stamp() -> Path:
    """A file in the one folder that all workers share."""
    return Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]) / "reload"


def _changed() -> int:
    try:
        return _stamp().stat().st_mtime_ns
    except OSError:
        return 0
