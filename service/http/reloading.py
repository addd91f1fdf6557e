"""Another model without a restart: loaded, tried on its golden pictures, then swapped.

`POST /admin/reload`, or SIGHUP to a worker, looks up GRAFT_MODEL again. Until the new model has
proven itself the old one answers; on any failure it stays. The other workers of this machine
follow within a second.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse

from service.errors import Disabled, GraftError, ReloadRefused
from service.schemas import ModelName, Reloaded

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
    _announce(service)
    return JSONResponse(Reloaded(old=old, model=service.model.name).model_dump())


async def follow(service: Classifier) -> None:
    """Reload at SIGHUP and whenever another worker has, for as long as the service runs."""
    hung_up = asyncio.Event()
    if hasattr(signal, "SIGHUP"):  # not on Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up.set)
    seen = None  # not what is there: another worker may have reloaded while this one started
    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(hung_up.wait(), _POLL_SECONDS)
        is_asked = hung_up.is_set()
        announced = service.shared.announced() if service.shared else None
        is_news = (
            announced is not None
            and announced != seen
            and announced[1] != service.model.name.version
        )
        hung_up.clear()
        seen = announced  # what fails is tried once, not twice a second
        if not (is_asked or is_news):
            continue
        try:
            await _renew(service)
        except ReloadRefused:
            continue  # logged
        if is_asked:
            _announce(service)


async def _renew(service: Classifier) -> ModelName:
    """Swap; the model before. ReloadRefused on any failure, so that nothing ends `follow`."""
    try:
        old = await service.swap()
    except Exception as error:
        version = service.model.name.version
        is_bug = not isinstance(error, GraftError)
        _log.error("reload: version %s stays: %s", version, error, exc_info=is_bug)
        raise ReloadRefused(f"{error} (version {version} still answers)") from error
    new = service.model.name
    if new != old:
        _log.info("reload: %s:%s in place of %s:%s", new.name, new.version, old.name, old.version)
    return old


def _announce(service: Classifier) -> None:
    """Also when nothing changed here: another worker may have failed to follow before."""
    if service.shared is None:  # said at the start
        return
    try:
        service.shared.announce(service.model.name.version)
    except OSError as error:  # must not end `follow`, nor deny what was taken here
        _log.error("reload: the other workers are not told: %s", error)
