"""Refuse options of BentoML that have no effect on Graft's routes.

Most of these options apply only to BentoML's own routes. Without this check, users would believe
that the options are active. BentoML's options for CORS, tracing, workers and TLS do have an effect
on Graft, so they are accepted.
"""

from __future__ import annotations

from typing import Any, Final

import click

from service.errors import SettingError
from service.http.cors import cors_options
from service.server.bentoml_configuration import SERVICE_NAME, bentoml_container
from service.settings import Settings

_USE_TIMEOUTS: Final = (
    "use GRAFT_DEADLINE_SECONDS and GRAFT_UPLOAD_TIMEOUT_SECONDS to limit the time of a request"
)
_USE_QUEUE_SIZE: Final = (
    "use GRAFT_MAX_QUEUE_SIZE to limit how many pictures are queued or being classified"
)
_WITHOUT_EFFECT: Final[dict[str, tuple[object, str]]] = {
    "traffic.timeout": (60, _USE_TIMEOUTS),
    "traffic.max_concurrency": (None, _USE_QUEUE_SIZE),
    "traffic.concurrency": (None, _USE_QUEUE_SIZE),
    "traffic.external_queue": (None, _USE_QUEUE_SIZE),
    "http.response.trace_id": (False, "use the header X-Request-ID, which every response has"),
    "logging.access.enabled": (False, "set GRAFT_ACCESS_LOG=1 to log each request"),
    "metrics.enabled": (False, "remove the option; /metrics always shows Graft's own metrics"),
}
"""Option of BentoML -> (accepted value, advice for the error message).

The accepted value is BentoML's default or the value that Graft sets itself. Any other value except
None is refused."""


def check_bento_options(settings: Settings) -> None:
    """Refuse options that have no effect, in BentoML's configuration and on its command line.

    The CORS options are checked too.

    Call this function in the parent process, before the workers start.

    Raises:
        SettingError: an option that has no effect is set, or the CORS options are invalid.
    """
    cors_options(settings)
    problems = options_without_effect(bentoml_container().config.services[SERVICE_NAME].get())
    command = click.get_current_context(silent=True)
    options = {} if command is None else command.params
    if options.get("timeout"):
        problems.append(f"--timeout (BENTOML_TIMEOUT) has no effect on Graft: {_USE_TIMEOUTS}")
    if options.get("timeout_keep_alive") == 0:  # BentoML does not pass 0 to its workers
        problems.append("--timeout-keep-alive 0 has no effect: use 1 (second) or more")
    if problems:
        raise SettingError("; ".join(problems))


def options_without_effect(config: dict[str, Any]) -> list[str]:
    """Return an error message for each option in `config` that is set but has no effect.

    Args:
        config: the configuration of the service, which BentoML merges from its defaults, Graft's
            `@bentoml.service` decorator, BENTOML_CONFIG and BENTOML_CONFIG_OPTIONS.
    """
    return [
        f"{name}={value!r} in BentoML's configuration has no effect on Graft: {instead}"
        for name, (default, instead) in _WITHOUT_EFFECT.items()
        if (value := _get(config, name)) not in (None, default)
    ]


def _get(config: dict[str, Any], dotted_name: str) -> object:
    value: Any = config
    for key in dotted_name.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value
