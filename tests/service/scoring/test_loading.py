"""A model in a Python program gives the same answers as the service."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service import load
from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.bundle.store import save
from service.errors import (
    BadParameter,
    BundleError,
    PayloadTooLarge,
    SettingError,
    UndecodableImage,
    UnreadableFile,
    UnsupportedMediaType,
)
from service.scoring.loading import Model

Draw = Callable[..., bytes]
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def model(tiny_bundle: Bundle) -> Model:
    return load(tiny_bundle.path)


def test_a_file_its_bytes_and_a_pillow_picture_get_the_same_answer(
    model: Model, draw: Draw, tmp_path: Path
) -> None:
    data = draw("green", "PNG")
    (tmp_path / "green.png").write_bytes(data)
    answer = model.predict(data)
    assert (answer.label, round(answer.score, 3)) == ("green", 0.988)
    assert answer.top[0].label == "green"
    assert sum(choice.score for choice in answer.top) == pytest.approx(1)
    assert answer.top[0].score == answer.score
    assert model.predict(tmp_path / "green.png") == answer
    assert model.predict(str(tmp_path / "green.png")) == answer
    assert model.predict(Image.open(io.BytesIO(data))) == answer


def test_an_answer_is_explained(model: Model, draw: Draw, tmp_path: Path) -> None:
    data = draw("green", "PNG")
    (tmp_path / "green.png").write_bytes(data)
    answer, explanation = model.predict(data), model.explain(tmp_path / "green.png")
    assert (explanation.label, explanation.score) == (answer.label, answer.score)
    assert explanation.heat_map.shape == (32, 32)
    assert (explanation.heat_map.min(), explanation.heat_map.max()) == (1, 1)
    assert explanation.nearest == ()
    drawn = Image.open(io.BytesIO(explanation.draw()))
    assert (drawn.format, drawn.size) == ("PNG", (32, 32))
    assert model.explain(Image.open(io.BytesIO(data)), "red").label == "red"
    with pytest.raises(BadParameter, match="label must be one of the model's 3 classes"):
        model.explain(data, "yellow")
    with pytest.raises(UnreadableFile):
        model.explain(tmp_path / "missing.png")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_pillow_pictures_of_every_mode_are_accepted(model: Model, mode: str) -> None:
    picture = Image.new("RGB", (40, 40), (255, 0, 0))
    assert model.predict(picture.convert(mode)).score > 0


@pytest.mark.parametrize("mode", ["I", "I;16B"])
def test_pillow_pictures_of_16_bits_get_the_answer_of_their_file(model: Model, mode: str) -> None:
    values = np.arange(1600, dtype=np.uint16).reshape(40, 40) * 40
    picture = Image.fromarray(values)
    big_endian = Image.frombytes("I;16B", (40, 40), values.astype(">u2").tobytes())
    expected = model.predict(picture)
    assert model.predict(big_endian if mode == "I;16B" else picture.convert("I")) == expected


@pytest.mark.parametrize(
    "picture",
    [
        Image.new("F", (40, 40)),
        Image.new("I", (40, 40), 70_000),
        Image.new("RGB", (0, 0)),
        Image.new("La", (40, 40)),
    ],
    ids=["mode F", "beyond 16 bits", "empty", "mode La"],
)
def test_pillow_pictures_without_usable_pixels_are_refused(
    model: Model, picture: Image.Image
) -> None:
    with pytest.raises(UndecodableImage, match="Pillow image"):
        model.predict(picture)


@pytest.mark.slow
def test_the_error_for_a_too_large_pillow_picture_names_the_remedy(model: Model) -> None:
    with pytest.raises(PayloadTooLarge, match="pass the path of its file"):
        model.predict(Image.new("RGB", (9000, 9000)))


@pytest.mark.parametrize("top_k", [0, -1, 4, 1.5, "2"])
def test_an_invalid_number_of_classes_is_refused(model: Model, draw: Draw, top_k: Any) -> None:
    with pytest.raises(BadParameter, match="from 1 to 3"):
        model.predict(draw(), top_k=top_k)


@pytest.mark.parametrize("picture", [None, np.zeros((40, 40, 3), np.uint8), bytearray(9)])
def test_an_object_that_is_not_a_picture_is_a_type_error(model: Model, picture: Any) -> None:
    with pytest.raises(TypeError, match="a path, the bytes of a file, or a Pillow image"):
        model.predict(picture)


def test_a_pillow_picture_is_turned_upright_like_its_file(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[:20] = (0, 255, 0)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    decoded: list[np.ndarray] = []
    decode = model._predictor.decode
    monkeypatch.setattr(
        model._predictor, "decode", lambda *values: decoded.append(decode(*values)) or decoded[-1]
    )
    model.predict(tmp_path / "turned.png")
    model.predict(Image.open(tmp_path / "turned.png"))
    np.testing.assert_array_equal(*decoded)
    assert decoded[0][16, 30, 1] > 200  # the green edge is on the right now


def test_the_number_of_classes_in_the_answer_can_be_chosen(model: Model, draw: Draw) -> None:
    assert len(model.predict(draw(), top_k=2).top) == 2
    assert len(model.predict(draw()).top) == len(model.classes) == 3


def test_a_model_of_the_store_is_loaded_by_its_tag(tiny_bundle: Bundle, draw: Draw) -> None:
    tag = save(tiny_bundle)
    assert load("tiny:latest").name == tag
    assert repr(load(tag)) == f"<Model {tag}, 3 classes>"


def test_without_a_reference_the_settings_name_the_model(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFT_MODEL", str(tiny_bundle.path))
    assert load().classes == tiny_bundle.manifest.classes
    monkeypatch.setenv("GRAFT_TOP_K", "none")
    with pytest.raises(SettingError, match="GRAFT_TOP_K"):
        load()


def test_errors_are_those_of_the_service(
    model: Model, draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnreadableFile):
        model.predict(tmp_path / "nowhere.jpg")
    with pytest.raises(UnsupportedMediaType):
        model.predict(b"no picture")
    with pytest.raises(UndecodableImage):
        model.predict(draw()[:200])
    with pytest.raises(BundleError, match="no model 'nowhere:latest'"):
        load("nowhere:latest")
    monkeypatch.setenv("GRAFT_MAX_IMAGE_BYTES", "10")
    limited_model = load(model._predictor.bundle.path)
    with pytest.raises(PayloadTooLarge, match="GRAFT_MAX_IMAGE_BYTES"):
        limited_model.predict(draw())


def test_importing_the_package_imports_none_of_its_modules() -> None:
    code = "import service, sys; print([n for n in sys.modules if n.startswith('service.')])"
    command = [sys.executable, "-c", code]
    completed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert completed.stdout == "[]\n"


def test_loading_needs_neither_tensorflow_nor_the_trainer(tiny_bundle: Bundle) -> None:
    code = f"""
import sys
for name in ("tensorflow", "keras", "onnx", "trainers", "plugins"):
    sys.modules[name] = None
from service import load
print(load({str(tiny_bundle.path)!r}).predict({str(tiny_bundle.path / "golden/red.png")!r}).label)
"""
    command = [sys.executable, "-c", code]
    completed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert (completed.stdout, completed.stderr) == ("red\n", "")


def test_a_multi_label_model_names_all_labels(
    staging: Path, multi_label_manifest: Manifest, model: Model, draw: Draw
) -> None:
    several = load(seal(staging, multi_label_manifest, staging.parent).path)
    labels = several.predict(draw("red")).labels
    assert [label.label for label in labels or ()] == ["red", "green"]
    assert model.predict(draw("red")).labels is None
