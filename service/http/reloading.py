"""Reload the model without a restart.

POST /admin/reload, or SIGHUP to a worker, looks up GRAFT_MODEL again. The current model answers
until the new one has reproduced its golden answers, and stays if anything fails. The other workers
of the service reload within a second.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import JSONResponse

from service.bundle.manifest import Manifest
from service.errors import Disabled, GraftError, ReloadRefused
from service.schemas import model_name
from service.state import ServiceState

_POLL_SECONDS = 0.5
_log = logging.getLogger("bentoml.graft")  # a child of BentoML's logger, which shows INFO


async def reload(state: ServiceState, request: Request) -> JSONResponse:
    """POST /admin/reload: serve the model that GRAFT_MODEL names now.

    Raises:
        Disabled: GRAFT_RELOAD is not set.
        ReloadRefused: the new model must not be served; the current one stays.
    """
    if not state.settings.reload:
        raise Disabled("reloading is off; start the service with GRAFT_RELOAD=1")
    old = await _reload(state)
    _announce(state)
    return JSONResponse({"old": model_name(old), "model": model_name(state.model.manifest)})


async def watch_reloads(state: ServiceState) -> None:
    """Reload on SIGHUP, and when another worker has reloaded; runs until it is cancelled."""
    sighup = asyncio.Event()
    if hasattr(signal, "SIGHUP"):  # not on Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, sighup.set)
    seen = None  # another worker may have reloaded while this one started
    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(sighup.wait(), _POLL_SECONDS)
        is_signalled = sighup.is_set()
        directory = state.runtime_directory
        announced = directory.last_reload() if directory else None
        is_new = (
            announced is not None
            and announced != seen
            and announced[1] != state.model.manifest.version
        )
        sighup.clear()
        seen = announced  # a model that fails is tried once, not at every poll
        if not (is_signalled or is_new):
            continue
        try:
            await _reload(state)
        except ReloadRefused:
            continue  # logged already
        if is_signalled:
            _announce(state)


async def _reload(state: ServiceState) -> Manifest:
    """Reload and log it; return the old manifest.

    Raises:
        ReloadRefused: on any failure, bugs included, so that none ends `watch_reloads`.
    """
    try:
        old = await state.reload()
    except Exception as error:
        version = state.model.manifest.version
        is_bug = not isinstance(error, GraftError)
        _log.error("reload: version %s stays: %s", version, error, exc_info=is_bug)
        raise ReloadRefused(f"{error} (version {version} still answers)") from error
    new = state.model.manifest
    if new.id != old.id:
        _log.info("reload: %s:%s in place of %s:%s", new.name, new.version, old.name, old.version)
    return old


def _announce(state: ServiceState) -> None:
    """Tell the other workers, even if nothing changed: one of them may have failed before."""
    if state.runtime_directory is None:  # logged at the start
        return
    try:
        state.runtime_directory.announce_reload(state.model.manifest.version)
    except OSError as error:  # must not end `watch_reloads`: this worker has reloaded
        _log.error("reload: cannot tell the other workers: %s", error)
