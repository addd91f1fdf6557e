"""Write the answers of the Open Inference Protocol v2; pure functions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import Manifest
from service.oip.request import HEADER_LENGTH, ParsedRequest
from service.oip.tensors import serialise_bytes_tensor


def serialise(
    request: ParsedRequest,
    manifest: Manifest,
    probabilities: NDArray[np.float32],
    top_k: int | None = None,
) -> tuple[bytes, dict[str, str]]:
    """Write the body and the headers that answer a request.

    Args:
        request: as `parse` returned it.
        manifest: of the model that answered.
        probabilities: (N, classes) float32, finite.
        top_k: with it, both outputs are (N, top_k): the best classes, best first, and their
            probabilities. Without it, `label` is (N,), the best class, and `probabilities` is
            (N, classes), in the order of the classes.
    """
    best = (-probabilities).argsort(axis=1, kind="stable")[:, : top_k or 1]
    labels = [manifest.classes[index] for index in best.ravel()]
    if top_k:
        probabilities = np.take_along_axis(probabilities, best, axis=1)
    shapes = {
        "probabilities": probabilities.shape,
        "label": best.shape if top_k else best.shape[:1],
    }
    outputs: list[dict[str, Any]] = []
    binary_data = b""
    for name, is_binary in request.outputs.items():
        is_label = name == "label"
        datatype = "BYTES" if is_label else "FP32"
        output: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shapes[name]}
        if is_binary:
            raw = (
                serialise_bytes_tensor(labels)
                if is_label
                else probabilities.astype("<f4").tobytes()
            )
            output["parameters"] = {"binary_data_size": len(raw)}
            binary_data += raw
        else:
            output["data"] = labels if is_label else probabilities.ravel().tolist()
        outputs.append(output)
    identity = {} if request.id is None else {"id": request.id}
    model = {"model_name": manifest.name, "model_version": manifest.version}
    text = json.dumps({**model, **identity, "outputs": outputs}, allow_nan=False).encode()
    if not any(request.outputs.values()):
        return text, {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(text))}
    return text + binary_data, headers


def metadata(manifest: Manifest, max_pictures: int) -> dict[str, Any]:
    """Write the answer to GET /v2/models/NAME.

    It declares the model's own input, from which tools generate requests; the parameters describe
    encoded pictures.
    """
    size = manifest.input.size
    return {
        "name": manifest.name,
        "versions": [manifest.version],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "images", "datatype": "UINT8", "shape": [-1, size, size, 3]}],
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(manifest.classes)]},
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
        ],
        "parameters": {
            "images": f"preferred: BYTES [N] or [N, 1], files ({', '.join(manifest.input.kinds)}; "
            "base64 in JSON), which are decoded as in training; or UINT8 "
            f"[N, {size}, {size}, 3], RGB, resized by you",
            "classes": json.dumps(manifest.classes, ensure_ascii=False),
            "max_pictures": max_pictures,
            "top_k": "infer?top_k=K: both outputs are [N, K], the K best classes and their "
            "probabilities",
        },
    }
