"""Web pages of which origins may ask (CORS): by GRAFT_CORS_ORIGINS, or BentoML's own switch."""

from __future__ import annotations

from typing import Any, Final

from service.errors import SettingError
from service.settings import Settings
from service.system.bento_configuration import container

_USUAL: Final[dict[str, Any]] = {
    "allow_methods": ["GET", "POST"],
    "allow_headers": ["*"],  # what a page asks for, X-API-Key and Content-Type among it
    "expose_headers": ["X-Request-ID", "Retry-After", "Inference-Header-Content-Length"],
    "max_age": 600,
}


def cors_options(settings: Settings) -> dict[str, Any]:
    """What Starlette's CORSMiddleware is told; empty where no origin may ask.

    Raises:
        SettingError: both switches are set, or BentoML's names no origins.
    """
    theirs = _bentoml_options()
    if theirs is None:
        return {**_USUAL, "allow_origins": settings.origins()} if settings.origins() else {}
    if settings.origins():
        raise SettingError("GRAFT_CORS_ORIGINS and BentoML's http.cors are both set; choose one")
    if not (theirs.get("allow_origins") or theirs.get("allow_origin_regex")):
        raise SettingError(
            "BentoML's http.cors is on and names no origins; set access_control_allow_origins "
            "there, or GRAFT_CORS_ORIGINS in its place"
        )
    return {**_USUAL, **theirs}


def _bentoml_options() -> dict[str, Any] | None:
    """What `http.cors` of BentoML's configuration says; None where it is off."""
    config: dict[str, Any] = container().http.cors.get()
    if not config["enabled"]:
        return None
    options = {
        name.removeprefix("access_control_"): value
        for name, value in config.items()
        if name != "enabled" and value is not None
    }
    lists = {"allow_origins", "allow_methods", "allow_headers", "expose_headers"} & options.keys()
    single = {name: [options[name]] for name in lists if isinstance(options[name], str)}
    return {**options, **single}
