"""Build the responses of the Open Inference Protocol v2."""

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
    """Build the body and the headers of the response to an inference request.

    Args:
        request: the request, as returned by `parse`.
        manifest: manifest of the model that classified the pictures.
        probabilities: (N, classes) float32, finite.
        top_k: number of classes per picture. If given, both outputs have the shape (N, top_k): the
            best classes, best first, and their probabilities. If None, `label` has the shape (N,)
            and contains the best class of each picture; `probabilities` has the shape (N, classes),
            in the order of the model's classes.
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
    """Build the JSON of the response to GET /v2/models/NAME.

    `inputs` declares only the array that the model takes, because tools generate requests from this
    declaration. The text at `parameters.images` says how to send image files instead. A multi-label
    model has `parameters.thresholds`: the lowest probability of each label of a picture.
    """
    size, thresholds = manifest.input.size, manifest.decision.thresholds
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
            "images": "preferred: BYTES of shape [N] or [N, 1]: image files "
            f"({', '.join(manifest.input.kinds)}; in JSON as base64), which the service decodes as "
            f"in training. Or UINT8 of shape [N, {size}, {size}, 3]: RGB pictures that you decode "
            "and resize yourself",
            "classes": json.dumps(manifest.classes, ensure_ascii=False),
            "max_pictures": max_pictures,
            **({"thresholds": json.dumps(thresholds, ensure_ascii=False)} if thresholds else {}),
            "top_k": "with infer?top_k=K, both outputs have the shape [N, K]: the K best classes "
            "and their probabilities",
        },
    }
