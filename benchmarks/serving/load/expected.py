"""The expected responses: what the same model returns in this process, with either decoder."""

from __future__ import annotations

import http.client
import io
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.serving.load.pictures import Bodies
from benchmarks.serving.server import Server
from service.bundle.reading import Bundle
from service.engine.predictor import Predictor
from service.imaging import decode

TOLERANCE = 1e-3
"""The largest allowed difference between a score and the expected score. Scores depend slightly on
the batch size."""

RETRY_SECONDS = 30.0
"""If a server refuses a request with 429, the request is repeated for at most this long."""

Answer = tuple[str, float]


class Expected:
    """The expected label and score of every picture, for Graft's decoder and for Pillow."""

    def __init__(self, bundle: Bundle, pictures: Bodies) -> None:
        predictor = Predictor(bundle)
        data = [path.read_bytes() for path in pictures.paths]
        size = predictor.image_size
        decoders: dict[str, Callable[[bytes], NDArray[np.uint8]]] = {
            "graft": lambda picture: decode(picture, size),
            "pillow": lambda picture: np.asarray(
                Image.open(io.BytesIO(picture)).convert("RGB").resize((size, size))
            ),
        }
        self._answers = {
            name: [
                predictor.rank(predictor.predict(decoder(picture)[np.newaxis])[0], 1)[0]
                for picture in data
            ]
            for name, decoder in decoders.items()
        }

    def check(self, server: Server) -> None:
        """Send each picture once, and compare the response with the expected one.

        Raises:
            RuntimeError: a response differs, or its status is not 200.
        """
        contender = server.contender
        expected = self._answers[contender.decoder]
        for number, (label, score) in enumerate(expected):
            actual, actual_score = _request_answer(server, number)
            if actual != label or abs(actual_score - score) > TOLERANCE:
                raise RuntimeError(
                    f"{contender.name} returned {actual} ({actual_score:.4f}) for picture "
                    f"{number}, but {label} ({score:.4f}) was expected"
                )


def _request_answer(server: Server, number: int) -> Answer:
    """Send a picture; return its label and score. Retry while the queue is full (429)."""
    deadline = time.monotonic() + RETRY_SECONDS
    while (response := _post(server, number))[0] == 429 and time.monotonic() < deadline:
        time.sleep(0.1)
    status, content = response
    if status != 200:
        raise RuntimeError(f"{server.contender.name} returned {status}: {content[:300]!r}")
    answer: Any = json.loads(content)
    if isinstance(answer, list):  # BentoML's batchable methods
        (answer,) = answer
    if "outputs" in answer:  # MLServer's protocol
        answer = json.loads(answer["outputs"][0]["data"][0])
    label, score = answer.get("label"), answer.get("score")
    if score is None:
        label, score = answer["top"][0]["label"], answer["top"][0]["score"]
    return label, float(score)


def _post(server: Server, number: int) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    body = server.bodies.paths[number].read_bytes()
    headers = {"Content-Type": server.bodies.content_type}
    connection.request("POST", server.contender.path, body, headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content
