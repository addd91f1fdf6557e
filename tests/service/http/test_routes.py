from __future__ import annotations

from service.app import Classifier
from service.http.routes import HTTP_ENDPOINTS


def test_our_routes_include_those_that_bentoml_declares() -> None:
    posts = {endpoint.path for endpoint in HTTP_ENDPOINTS if endpoint.method == "POST"}
    assert {api.route for api in Classifier.apis.values()} <= posts


def test_endpoints_for_pictures_are_marked_for_load_shedding() -> None:
    marked = {endpoint.path for endpoint in HTTP_ENDPOINTS if endpoint.accepts_pictures}
    assert marked == {"/predict", "/predict_batch", "/explain"}
