"""Switches of BentoML's configuration that its own routes obey and ours do not.

A log that says a switch was applied, while nothing obeys it, fools the owner. CORS is obeyed
(`service/http/cors.py`), and so are tracing, workers and TLS; the others are refused at the start.
"""

from __future__ import annotations

from typing import Any, Final

import click

from service.errors import SettingError
from service.http.cors import cors_options
from service.settings import Settings
from service.system.bento_configuration import SERVICE, container

_DEADLINES: Final = "GRAFT_DEADLINE_SECONDS and GRAFT_UPLOAD_TIMEOUT_SECONDS bound a request"
_QUEUE: Final = "GRAFT_MAX_QUEUE_SIZE bounds how many pictures are worked on at a time"
_IGNORED: Final[dict[str, tuple[object, str]]] = {
    "traffic.timeout": (60, _DEADLINES),
    "traffic.max_concurrency": (None, _QUEUE),
    "traffic.concurrency": (None, _QUEUE),
    "traffic.external_queue": (None, _QUEUE),
    "http.response.trace_id": (False, "every answer has an X-Request-ID, as the log does"),
    "logging.access.enabled": (False, "GRAFT_ACCESS_LOG=1 logs each request"),
    "metrics.enabled": (False, "/metrics is Graft's own, and always there"),
}
"""Value -> default that changes nothing; what to set instead."""


def check_switches(settings: Settings) -> None:
    """For the parent, before any worker starts.

    Raises:
        SettingError: a switch is set that would do nothing, or CORS is not as it should be.
    """
    cors_options(settings)
    refused = ignored(container().config.services[SERVICE].get())
    command = click.get_current_context(silent=True)
    options = {} if command is None else command.params
    if options.get("timeout"):
        refused.append(f"--timeout (BENTOML_TIMEOUT) would do nothing here: {_DEADLINES}")
    if options.get("timeout_keep_alive") == 0:  # BentoML does not hand it on
        refused.append("--timeout-keep-alive 0 would do nothing here: 1 s is the least")
    if refused:
        raise SettingError("; ".join(refused))


def ignored(config: dict[str, Any]) -> list[str]:
    """A line for each switch that is set and would do nothing.

    Args:
        config: of the service, as BentoML has put it together from its defaults, our decorator,
            BENTOML_CONFIG and BENTOML_CONFIG_OPTIONS.
    """
    return [
        f"{name}={found!r} of BentoML's configuration would do nothing here: {instead}"
        for name, (silent, instead) in _IGNORED.items()
        if (found := _at(config, name)) not in (None, silent)
    ]


def _at(config: dict[str, Any], name: str) -> object:
    found: Any = config
    for key in name.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found
