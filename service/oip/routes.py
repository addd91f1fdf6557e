"""The table of the routes under /v2, which are those of the Open Inference Protocol."""

from __future__ import annotations

from typing import Final

from starlette.routing import Route

from service.http.routing import Endpoint
from service.oip import handlers

_MODELS: Final = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")

OIP_ENDPOINTS: Final = (
    *(Endpoint("POST", f"{path}/infer", handlers.infer, accepts_pictures=True) for path in _MODELS),
    Endpoint("GET", "/v2", handlers.show_server),
    *(Endpoint("GET", path, handlers.show_metadata) for path in _MODELS),
    *(Endpoint("GET", f"{path}/ready", handlers.show_model_ready) for path in _MODELS),
)
"""These endpoints appear in the metrics. If API keys are configured, requests need one."""

OIP_PUBLIC_ROUTES: Final = (
    Route("/v2/health/live", handlers.show_live),
    Route("/v2/health/ready", handlers.show_ready),
)
"""Health probes. They never require an API key, and do not appear in the metrics."""
