"""The table of Graft's own routes; a new endpoint is a handler and a line here."""

from __future__ import annotations

from typing import Final

from starlette.routing import Route

from service.http.pages.pages import show_metrics, show_model, show_ui
from service.http.predictions import predict, predict_batch
from service.http.reloading import reload
from service.http.routing import Endpoint

GRAFT_ENDPOINTS: Final = (
    Endpoint("POST", "/predict", predict, accepts_pictures=True),
    Endpoint("POST", "/predict_batch", predict_batch, accepts_pictures=True),
    Endpoint("GET", "/model", show_model),
    Endpoint("POST", "/admin/reload", reload),
)
"""Ask for an API key where keys are set, and appear in the metrics."""

GRAFT_PUBLIC_ROUTES: Final = (
    Route("/ui", show_ui),
    Route("/metrics", show_metrics),
)
"""Ask for no key, and do not appear in the metrics."""
