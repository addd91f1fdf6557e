"""The handler of POST /explain."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.errors import BadParameter
from service.explanation.explainer import Explanation
from service.http.disconnects import cancel_on_disconnect
from service.http.uploads.body_timeout import body_timeout
from service.http.uploads.forms import read_picture
from service.http.uploads.hints import add_hint
from service.schemas import explained_json, model_name
from service.state import ServiceState

PNG: Final = "image/png"
_FORMATS: Final = ("json", "png")


async def explain(state: ServiceState, request: Request) -> Response:
    """POST /explain: explain why one picture has a class.

    The client sends the picture as to /predict. The response is JSON, or a PNG that shows the heat
    map over the picture.
    """
    with state.upload_quota.upload() as upload:
        async with body_timeout(upload, state.settings, lambda: state.is_draining):
            picture = await read_picture(request, state.settings, upload)
        model = state.model
        label, is_png = _query(request, "label"), _wants_png(request)
        with model.admit(1), add_hint(picture):
            async with cancel_on_disconnect(request):
                if is_png:
                    drawn = await model.explain(picture, label, Explanation.draw)
                    return Response(drawn, media_type=PNG)
                content = await model.explain(picture, label, explained_json)
    return JSONResponse({**content, "model": model_name(model.manifest)})


def _wants_png(request: Request) -> bool:
    """Return whether the client asks for a PNG, with ?format=png or in the header Accept.

    Raises:
        BadParameter: the format is unknown.
    """
    name = _query(request, "format")
    if name is None:
        return PNG in request.headers.get("accept", "")
    if name not in _FORMATS:
        raise BadParameter(f"format must be {' or '.join(_FORMATS)}, for example ?format=png")
    return name == "png"


def _query(request: Request, name: str) -> str | None:
    """Return a query parameter; None if it is absent.

    Raises:
        BadParameter: the parameter is given several times.
    """
    values = request.query_params.getlist(name)
    if len(values) > 1:
        raise BadParameter(f"{name} is given {len(values)} times; give it once")
    return values[0] if values else None
