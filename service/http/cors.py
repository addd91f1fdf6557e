"""Decide which web pages on other servers may use the service (CORS).

The origins of these pages are listed in GRAFT_CORS_ORIGINS or in BentoML's own configuration.
"""

from __future__ import annotations

from typing import Any, Final

from service.errors import SettingError
from service.server.bentoml_configuration import bentoml_container
from service.settings import Settings

_DEFAULTS: Final[dict[str, Any]] = {
    "allow_methods": ["GET", "POST"],
    "allow_headers": ["*"],  # pages send X-API-Key and Content-Type, among others
    "expose_headers": ["X-Request-ID", "Retry-After", "Inference-Header-Content-Length"],
    "max_age": 600,
}


def cors_options(settings: Settings) -> dict[str, Any]:
    """Return the options for Starlette's CORSMiddleware; empty if no origin is allowed.

    Raises:
        SettingError: both GRAFT_CORS_ORIGINS and BentoML's configuration enable CORS, or BentoML's
            configuration enables CORS but names no origins.
    """
    bentoml_options = _bentoml_options()
    origins = settings.origins()
    if bentoml_options is None:
        return {**_DEFAULTS, "allow_origins": origins} if origins else {}
    if origins:
        raise SettingError(
            "CORS is configured twice, by GRAFT_CORS_ORIGINS and by BentoML's http.cors; remove "
            "one of them"
        )
    if not (bentoml_options.get("allow_origins") or bentoml_options.get("allow_origin_regex")):
        raise SettingError(
            "BentoML's http.cors is enabled but names no origins; set "
            "http.cors.access_control_allow_origins, or disable http.cors and use "
            "GRAFT_CORS_ORIGINS instead"
        )
    return {**_DEFAULTS, **bentoml_options}


def _bentoml_options() -> dict[str, Any] | None:
    """Return the section `http.cors` of BentoML's configuration; None if CORS is not enabled.

    The options are renamed to the parameters of Starlette's CORSMiddleware.
    """
    config: dict[str, Any] = bentoml_container().http.cors.get()
    if not config["enabled"]:
        return None
    options = {
        name.removeprefix("access_control_"): value
        for name, value in config.items()
        if name != "enabled" and value is not None
    }
    lists = {"allow_origins", "allow_methods", "allow_headers", "expose_headers"} & options.keys()
    wrapped = {name: [options[name]] for name in lists if isinstance(options[name], str)}
    return {**options, **wrapped}
