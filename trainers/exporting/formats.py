"""The export formats: how each is written into a bundle, and how it is loaded for the comparison.

To add a format, add its two functions and a line to OPTIONAL_FORMATS, and its name to EXPORTS in
`trainers.config`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import keras
import numpy as np
import onnx
import tensorflow as tf
from numpy.typing import NDArray

from service.bundle.manifest import MODEL
from service.engine.onnx_session import open_session
from trainers.model.classifier import Classifier
from trainers.model.conversion import serving_function, to_onnx
from trainers.model.onnx_head import EMBEDDING, PROBABILITIES, join

OUTPUTS: Final = (PROBABILITIES, EMBEDDING)

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""A prediction function: pictures (N, S, S, 3) uint8 -> probabilities (N, classes) float32."""


class Source:
    """What the formats are made from.

    Attributes:
        classifier: the classifier.
        model: the classifier as a Keras model, which takes float32 pictures.
        module: a TensorFlow module whose attribute `serve` is the function to export, already
            traced. It takes pictures (batch, S, S, 3) uint8, and returns a dictionary with their
            `embedding` (batch, D) and `probabilities` (batch, classes).

    Args:
        embedder: the ONNX model of the classifier's embedder, with the output `embedding`; None if
            it must be converted.
    """

    def __init__(self, classifier: Classifier, embedder: onnx.ModelProto | None = None) -> None:
        self.classifier, self.model = classifier, classifier.build_model()
        self.module = tf.Module()
        # Save only the variables: saving all that a Keras model refers to takes twice as long.
        self.module.variables_to_save = [variable.value for variable in self.model.variables]
        self.module.serve = serving_function(self.model).get_concrete_function()
        self._embedder = embedder

    @cached_property
    def embedder(self) -> onnx.ModelProto:
        """The ONNX model of the embedder, with the output `embedding`."""
        if self._embedder is not None:
            return self._embedder
        return to_onnx(serving_function(self.classifier.embedder), (EMBEDDING,))

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities (N, classes) of the Keras model, which TensorFlow compiles."""
        result: NDArray[np.float32] = self.module.serve(tf.constant(images))[PROBABILITIES].numpy()
        return result


@dataclass(frozen=True)
class Format:
    """An export format.

    Attributes:
        path: path of the file or folder, relative to the bundle.
        write: writes the format into a bundle that already has the ONNX model; the arguments are
            the source and the path.
        open: loads what `write` has written to a path, and returns its prediction function.
        package: the package that the format needs, and the extra that installs it; "" if none.
    """

    path: str
    write: Callable[[Source, Path], None]
    open: Callable[[Path], Predict]
    package: str = ""
    extra: str = ""


def _write_onnx(source: Source, path: Path) -> None:
    onnx.save(join(source.embedder, source.classifier.head), path)


def _open_onnx(path: Path) -> Predict:
    session = open_session(path)
    return lambda images: session.run(["probabilities"], {"images": images})[0]


def _write_saved_model(source: Source, path: Path) -> None:
    module = source.module
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.serve})


def _open_saved_model(path: Path) -> Predict:
    loaded = tf.saved_model.load(str(path))  # the function below keeps it alive, with its variables
    signature = loaded.signatures["serving_default"]
    return lambda images: signature(images=tf.constant(images))["probabilities"].numpy()


def _write_keras(source: Source, path: Path) -> None:
    source.model.save(path)


def _open_keras(path: Path) -> Predict:
    model = keras.models.load_model(path)

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        outputs = model(images.astype(np.float32), training=False)
        return np.asarray(outputs["probabilities"])

    return predict


def _write_litert(source: Source, path: Path) -> None:
    module = source.module
    content = tf.lite.TFLiteConverter.from_concrete_functions([module.serve], module).convert()
    path.write_bytes(content)


def _open_litert(path: Path) -> Predict:
    from ai_edge_litert.interpreter import Interpreter

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        interpreter = Interpreter(model_path=str(path))
        (entry,) = interpreter.get_input_details()
        interpreter.resize_tensor_input(entry["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(entry["index"], images)
        interpreter.invoke()
        names = interpreter.get_signature_runner().get_output_details()
        result: NDArray[np.float32] = interpreter.get_tensor(names["probabilities"]["index"])
        return result

    return predict


def _write_openvino(_source: Source, path: Path) -> None:
    import openvino

    # `read_model`, not `convert_model`, which would report its use to the makers of OpenVINO.
    model = openvino.Core().read_model(path.parents[1] / MODEL)
    path.parent.mkdir(exist_ok=True)
    openvino.save_model(model, path, compress_to_fp16=False)


def _open_openvino(path: Path) -> Predict:
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(path, "CPU", settings)

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = model({"images": images})["probabilities"]
        return result

    return predict


FORMATS: Final[Mapping[str, Format]] = {
    "onnx": Format(MODEL, _write_onnx, _open_onnx),
    "saved_model": Format("saved_model", _write_saved_model, _open_saved_model),
}
"""The formats of every bundle."""
OPTIONAL_FORMATS: Final[Mapping[str, Format]] = {
    "keras": Format("model.keras", _write_keras, _open_keras),
    "litert": Format("model.tflite", _write_litert, _open_litert, "ai_edge_litert", "litert"),
    "openvino": Format(
        "openvino/model.xml", _write_openvino, _open_openvino, "openvino", "openvino"
    ),
}
"""The formats that --export adds."""
