from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from plugins.registry import resolve
from trainers.config import EXPORTS
from trainers.exporting.formats import FORMATS, OPTIONAL_FORMATS, Source
from trainers.heads.head import build_head, fit_scaling
from trainers.model.classifier import Classifier, build_embedder

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
LOAD_WITHOUT_GRAFT = """
import sys
import keras, numpy
model = keras.models.load_model(sys.argv[1])
outputs = model(numpy.load(sys.argv[2]).astype("float32"), training=False)
numpy.save(sys.argv[3], outputs["probabilities"])
assert not {"plugins", "trainers", "service"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def source() -> Source:
    keras.utils.set_random_seed(1)
    backbone = resolve("tiny")
    body = backbone.load("none")
    embedder = build_embedder(body)
    embeddings = np.asarray(embedder(IMAGES.astype(np.float32), training=False))
    head = build_head(*fit_scaling(embeddings[:, None]), classes=4)
    head.set_weights([RNG.normal(size=weight.shape) for weight in head.get_weights()])
    return Source(Classifier(backbone, body, embedder, head, ""))


@pytest.fixture(scope="module")
def folder(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    for export_format in (FORMATS | OPTIONAL_FORMATS).values():
        export_format.write(source, folder / export_format.path)
    return folder


def expected(source: Source) -> np.ndarray:
    return np.asarray(source.model(IMAGES.astype(np.float32), training=False)["probabilities"])


def test_the_options_name_all_formats() -> None:
    assert tuple(OPTIONAL_FORMATS) == EXPORTS


@pytest.mark.parametrize("name", [*FORMATS, *OPTIONAL_FORMATS])
def test_a_format_gives_the_probabilities_of_keras(source: Source, folder: Path, name: str) -> None:
    export_format = (FORMATS | OPTIONAL_FORMATS)[name]
    predict = export_format.open(folder / export_format.path)
    probabilities = expected(source)
    np.testing.assert_allclose(predict(IMAGES), probabilities, atol=1e-5)
    np.testing.assert_allclose(predict(IMAGES[:1]), probabilities[:1], atol=1e-5)


@pytest.mark.slow
def test_the_keras_model_loads_without_graft(source: Source, folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    paths = [folder / "model.keras", tmp_path / "images.npy", tmp_path / "probabilities.npy"]
    command = [sys.executable, "-W", "ignore", "-c", LOAD_WITHOUT_GRAFT, *map(str, paths)]
    subprocess.run(command, check=True, cwd=tmp_path, env={"KERAS_BACKEND": "tensorflow"})
    np.testing.assert_allclose(np.load(paths[2]), expected(source), atol=1e-5)


def test_models_for_other_runtimes_take_pictures_of_8_bits(folder: Path) -> None:
    import openvino
    from ai_edge_litert.interpreter import Interpreter

    (entry,) = Interpreter(model_path=str(folder / "model.tflite")).get_input_details()
    assert (entry["dtype"], entry["shape_signature"].tolist()) == (np.uint8, [-1, 32, 32, 3])
    model = openvino.Core().read_model(folder / "openvino/model.xml")
    assert model.input("images").get_element_type() == openvino.Type.u8
    assert (folder / "openvino/model.bin").stat().st_size > 4 * 12 * 4
