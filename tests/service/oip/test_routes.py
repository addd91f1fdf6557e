from __future__ import annotations

from service.oip.routes import OIP_ENDPOINTS, OIP_PUBLIC_ROUTES


def test_every_route_is_below_v2() -> None:
    paths = [row.path for row in (*OIP_ENDPOINTS, *OIP_PUBLIC_ROUTES)]
    assert len({*paths}) == len(paths) == 9
    assert all(path == "/v2" or path.startswith("/v2/") for path in paths)


def test_inference_is_marked_for_load_shedding() -> None:
    marked = {endpoint.path for endpoint in OIP_ENDPOINTS if endpoint.accepts_pictures}
    assert marked == {
        "/v2/models/{name}/infer",
        "/v2/models/{name}/versions/{version}/infer",
    }
