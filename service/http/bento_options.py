"""Refuse options of BentoML that would have no effect here.

BentoML's own routes obey them, ours do not; BentoML's log would still say that they are on.
CORS, tracing, workers and TLS do have an effect.
"""

from __future__ import annotations

from typing import Any, Final

import click

from service.errors import SettingError
from service.http.cors import cors_options
from service.server.bentoml_configuration import SERVICE_NAME, bentoml_container
from service.settings import Settings

_DEADLINES: Final = "GRAFT_DEADLINE_SECONDS and GRAFT_UPLOAD_TIMEOUT_SECONDS bound a request"
_QUEUE: Final = "GRAFT_MAX_QUEUE_SIZE bounds how many pictures are worked on at a time"
_WITHOUT_EFFECT: Final[dict[str, tuple[object, str]]] = {
    "traffic.timeout": (60, _DEADLINES),
    "traffic.max_concurrency": (None, _QUEUE),
    "traffic.concurrency": (None, _QUEUE),
    "traffic.external_queue": (None, _QUEUE),
    "http.response.trace_id": (False, "every answer has an X-Request-ID, as the log does"),
    "logging.access.enabled": (False, "GRAFT_ACCESS_LOG=1 logs each request"),
    "metrics.enabled": (False, "/metrics shows Graft's own metrics, and is always on"),
}
"""Option -> its default, which is accepted, and what has the effect instead."""


def check_bento_options(settings: Settings) -> None:
    """Check BentoML's configuration and command line; called in the parent, before any worker.

    Raises:
        SettingError: an option is set that has no effect, or CORS is not usable.
    """
    cors_options(settings)
    problems = without_effect(bentoml_container().config.services[SERVICE_NAME].get())
    command = click.get_current_context(silent=True)
    options = {} if command is None else command.params
    if options.get("timeout"):
        problems.append(f"--timeout (BENTOML_TIMEOUT) has no effect here: {_DEADLINES}")
    if options.get("timeout_keep_alive") == 0:  # BentoML does not pass 0 on
        problems.append("--timeout-keep-alive 0 has no effect here: the least is 1 s")
    if problems:
        raise SettingError("; ".join(problems))


def without_effect(config: dict[str, Any]) -> list[str]:
    """Write a line for each option that is set and has no effect.

    Args:
        config: of the service, as BentoML merges it from its defaults, our decorator,
            BENTOML_CONFIG and BENTOML_CONFIG_OPTIONS.
    """
    return [
        f"{name}={value!r} of BentoML's configuration has no effect here: {instead}"
        for name, (default, instead) in _WITHOUT_EFFECT.items()
        if (value := _get(config, name)) not in (None, default)
    ]


def _get(config: dict[str, Any], dotted_name: str) -> object:
    value: Any = config
    for key in dotted_name.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value
