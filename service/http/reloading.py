"""Reload the model without a restart.

POST /admin/reload, or the signal SIGHUP, makes a worker load the model that GRAFT_MODEL refers to
now. If GRAFT_MODEL is the tag of a champion, each worker also does this when `trainers.promote` has
changed the champion. The new model must reproduce its golden answers, which were recorded when it
was exported. Until then, the current model handles the requests. If anything fails, the current
model is kept. After a successful reload on request, the other workers of the service start to
reload within a second.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import JSONResponse

from service.bundle import champion, store
from service.bundle.manifest import Manifest
from service.errors import Disabled, GraftError, ReloadRefused
from service.schemas import model_name
from service.state import ServiceState

_POLL_SECONDS = 0.5
_log = logging.getLogger("bentoml.graft")  # a child of BentoML's logger, which shows INFO


async def reload(state: ServiceState, request: Request) -> JSONResponse:
    """POST /admin/reload: load and serve the newest model that GRAFT_MODEL refers to.

    Raises:
        Disabled: the service was not started with GRAFT_RELOAD=1.
        ReloadRefused: the new model cannot be served; the current model is kept.
    """
    if not state.settings.reload:
        raise Disabled("reloading is switched off; start the service with GRAFT_RELOAD=1")
    old = await _reload(state)
    _announce(state)
    return JSONResponse({"old": model_name(old), "model": model_name(state.model.manifest)})


async def watch_reloads(state: ServiceState) -> None:
    """Reload the model whenever there is a reason to; run until cancelled.

    The reasons are a SIGHUP, a reload of another worker, and a new champion, if GRAFT_MODEL is
    the tag of a champion.
    """
    sighup = asyncio.Event()
    if hasattr(signal, "SIGHUP"):  # not on Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, sighup.set)
    seen = None  # another worker may have reloaded while this one started
    seen_champion = None
    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(sighup.wait(), _POLL_SECONDS)
        is_signalled = sighup.is_set()
        sighup.clear()
        directory = state.runtime_directory
        announced = directory.last_reload() if directory else None
        is_new = announced is not None and announced != seen and announced[1] != state.versions
        chosen = await asyncio.to_thread(_find_champion, state.settings.model)
        is_promoted = chosen not in (None, seen_champion, state.model.manifest.tag)
        # A model that cannot be loaded is tried once, not at every poll.
        seen, seen_champion = announced, chosen
        if not (is_signalled or is_new or is_promoted):
            continue
        try:
            await _reload(state)
        except ReloadRefused:
            continue  # `_reload` has logged the error
        if is_signalled:
            _announce(state)


def _find_champion(reference: str) -> str | None:
    """Return the tag of the champion that GRAFT_MODEL follows; None if it follows none."""
    name = champion.name_of(reference)
    try:
        return next(iter(store.list_champions(name)), None) if name else None
    except (GraftError, OSError):  # a damaged file, or a network drive that is not mounted
        return None


async def _reload(state: ServiceState) -> Manifest:
    """Reload the model; return the manifest of the previous model.

    A change of the model is logged, and so is a failure.

    Raises:
        ReloadRefused: the reload failed. Unexpected exceptions also become this error, because
            otherwise they would end `watch_reloads`.
    """
    try:
        old = await state.reload()
    except Exception as error:
        version = state.model.manifest.version
        is_bug = not isinstance(error, GraftError)
        _log.error(
            "reload failed: %s (version %s is still served)", error, version, exc_info=is_bug
        )
        raise ReloadRefused(f"{error} (version {version} is still served)") from error
    new = state.model.manifest
    if new.id != old.id:
        _log.info(
            "reloaded: %s:%s is served instead of %s:%s",
            *(new.name, new.version, old.name, old.version),
        )
    return old


def _announce(state: ServiceState) -> None:
    """Tell the other workers to reload, even if this worker's model is unchanged.

    A worker that failed to load this model earlier then tries again.
    """
    if state.runtime_directory is None:  # a warning was logged when the service started
        return
    try:
        state.runtime_directory.announce_reload(state.versions)
    except OSError as error:  # do not end `watch_reloads`: this worker has reloaded
        _log.error(
            "this worker has reloaded the model, but cannot tell the other workers to reload (%s); "
            "restart the service, or send SIGHUP to each worker",
            error,
        )
