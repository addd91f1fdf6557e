"""The protocol's part of the OpenAPI document; http/pages/test_openapi.py tests the rest."""

from __future__ import annotations

import json
import re

from service.bundle.manifest import Manifest
from service.oip.openapi import build_section
from service.oip.routes import OIP_ENDPOINTS, OIP_PUBLIC_ROUTES


def test_it_describes_every_route_of_the_protocol(manifest: Manifest) -> None:
    section = build_section(manifest)
    described = {
        (method.upper(), path) for path, methods in section.paths.items() for method in methods
    }
    assert described == {
        *((endpoint.method, endpoint.path) for endpoint in OIP_ENDPOINTS),
        *(("GET", route.path) for route in OIP_PUBLIC_ROUTES),
    }


def test_it_defines_the_schemas_that_it_uses(manifest: Manifest) -> None:
    section = build_section(manifest)
    used = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(section.paths)))
    assert used == {"InferenceRequest", "InferenceError", "ProtocolAnswer"}
    nested = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(section.schemas)))
    assert nested | used <= set(section.schemas)


def test_examples_name_the_model(manifest: Manifest) -> None:
    path = "/v2/models/{name}/versions/{version}/infer"
    name, version, top_k = build_section(manifest).paths[path]["post"]["parameters"]
    assert (name["example"], version["example"]) == (manifest.name, manifest.version)
    assert top_k["schema"]["maximum"] == len(manifest.classes)
