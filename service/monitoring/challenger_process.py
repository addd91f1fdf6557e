"""The process in which a challenger runs: `python -m service.monitoring.challenger_process`.

It is a process of its own because a thread of the service would delay answers: while a thread of
low priority waits for a processor, it may hold Python's lock, or memory for decoding.

Its standard input is a socket. For each picture it reads the size as 8 bytes and the bytes of the
file, and it writes the result as one line of JSON. It ends when the other side closes the socket.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from io import BufferedRWPair
from pathlib import Path
from struct import Struct
from typing import Final

import numpy as np

from service.bundle.reading import Bundle
from service.engine.classification import join_labels
from service.engine.onnx_session import CPU
from service.engine.predictor import Predictor
from service.errors import BundleError, GraftError
from service.imaging import Limits, configure_process
from service.system.priority import put_back
from service.system.resources import release_large_memory

SIZE: Final = Struct("<Q")
"""Format of the size that precedes each picture."""


def main(path: str, model_id: str, max_pixels: str) -> None:
    """Load a model, write `{}` or its error, then classify pictures.

    Args:
        path: folder of the bundle.
        model_id: the id that its manifest must have.
        max_pixels: limit on the pixels of a picture.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # this process ends with its service
        signal.signal(number, signal.SIG_IGN)
    configure_process()
    release_large_memory()
    with socket.socket(fileno=os.dup(0)) as connection, connection.makefile("rwb") as stream:
        try:
            predictor = load(Path(path), model_id)
        except GraftError as error:
            reply(stream, {"error": str(error)})
            return
        reply(stream, {})
        answer_pictures(stream, predictor, Limits(pixels=int(max_pixels)))
    put_back(os.getpid())  # to end soon, and free the memory


def load(path: Path, model_id: str) -> Predictor:
    """Load the model on the CPU, with one thread.

    Raises:
        BundleError: the bundle was replaced, cannot be loaded or does not reproduce its golden
            answers.
    """
    bundle = Bundle.read(path)
    if bundle.manifest.id != model_id:
        raise BundleError(f"{path} was replaced while it was being loaded; load it again")
    return Predictor(bundle, threads=1, providers=[CPU])


def answer_pictures(stream: BufferedRWPair, predictor: Predictor, limits: Limits) -> None:
    """Classify one picture after the other, until the other side closes the connection."""
    with suppress(ConnectionError):
        while len(header := stream.read(SIZE.size)) == SIZE.size:
            (size,) = SIZE.unpack(header)
            data = stream.read(size)
            if len(data) == size:
                reply(stream, classify(predictor, data, limits))


def classify(predictor: Predictor, data: bytes, limits: Limits) -> dict[str, object]:
    """Return the `label` of a picture and the processor time in `seconds`, or the `error`."""
    started = time.process_time()
    try:
        image = predictor.decode(data, limits)
        (probabilities,) = predictor.predict(image[np.newaxis])
    except Exception as error:  # ONNX Runtime raises its own untyped C++ exceptions
        return {"error": str(error)}
    label = join_labels(name for name, _ in predictor.labels(probabilities))
    return {"label": label, "seconds": time.process_time() - started}


def reply(stream: BufferedRWPair, content: dict[str, object]) -> None:
    """Send one line of JSON."""
    stream.write(json.dumps(content).encode() + b"\n")
    stream.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
