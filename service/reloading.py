"""Another model without a restart: loaded, tried on its golden pictures, then swapped.

`POST /admin/reload`, or SIGHUP to a worker, looks up GRAFT_MODEL again. Until the new model has
proven itself the old one answers; on any failure it stays. The other workers of this machine
follow within a second.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse

from service.errors import BundleError, Disabled, ReloadRefused
from service.schemas import ModelName

if TYPE_CHECKING:
    from service.app import Classifier

_POLL_SECONDS = 0.5
_log = logging.getLogger("bentoml.graft")  # below BentoML's, whose INFO is shown


async def reload(service: Classifier, request: Request) -> JSONResponse:
    """Take the newest model that GRAFT_MODEL names.

    Raises:
        Disabled: GRAFT_RELOAD is not set.
        ReloadRefused: it must not be served; the old one still is.
    """
    if not service.settings.reload:
        raise Disabled("reloading is off; start the service with GRAFT_RELOAD=1")
    old = await _renew(service)
    _stamp().touch()
    return JSONResponse({"old": old.model_dump(), "model": service.model.name.model_dump()})


async def follow(service: Classifier) -> None:
    """Reload at SIGHUP and whenever another worker has, for as long as the service runs."""
    hung_up = asyncio.Event()
    if hasattr(signal, "SIGHUP"):  # not on Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up.set)
    seen = 0  # not what is there: another worker may have reloaded while this one started
    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(hung_up.wait(), _POLL_SECONDS)
        is_asked, changed = hung_up.is_set(), _changed()
        hung_up.clear()
        if not is_asked and changed == seen:
            continue
        seen = changed
        try:
            await _renew(service)
        except ReloadRefused:
            continue  # logged
        if is_asked:
            _stamp().touch()


async def _renew(service: Classifier) -> ModelName:
    """Swap; the model before. ReloadRefused on any failure, so that nothing ends `follow`."""
    try:
        old = await service.swap()
    except Exception as error:
        version = service.model.name.version
        is_bug = not isinstance(error, BundleError)
        _log.error("reload: version %s stays: %s", version, error, exc_info=is_bug)
        raise ReloadRefused(f"{error} (version {version} still answers)") from error
    new = service.model.name
    if new != old:
        _log.info("reload: %s:%s in place of %s:%s", new.name, new.version, old.name, old.version)
    return old


def _stamp() -> Path:
    """A file in the one folder that all workers share."""
    return Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]) / "reload"


def _changed() -> int:
    try:
        return _stamp().stat().st_mtime_ns
    except OSError:
        return 0
