"""The table of Graft's own routes, except those under /v2, which are in service/oip/routes.py.

To add an endpoint, write a handler and add a line here.
"""

from __future__ import annotations

from typing import Final

from starlette.routing import Route

from service.http.pages.handlers import (
    show_metrics,
    show_model,
    show_report,
    show_sample,
    show_ui,
)
from service.http.predictions import predict, predict_batch
from service.http.reloading import reload
from service.http.routing import Endpoint

HTTP_ENDPOINTS: Final = (
    Endpoint("POST", "/predict", predict, accepts_pictures=True),
    Endpoint("POST", "/predict_batch", predict_batch, accepts_pictures=True),
    Endpoint("GET", "/model", show_model),
    Endpoint("GET", "/report", show_report),
    Endpoint("GET", "/samples/{number}", show_sample),
    Endpoint("POST", "/admin/reload", reload),
)
"""These endpoints appear in the metrics. If API keys are configured, requests need one."""

HTTP_PUBLIC_ROUTES: Final = (
    Route("/ui", show_ui),
    Route("/metrics", show_metrics),
)
"""These routes never require an API key, and do not appear in the metrics."""
