from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

from plugins.registry import resolve
from service.errors import ParityError
from trainers.exporting import export, heat_maps
from trainers.exporting.formats import Source
from trainers.heads.head import build_head, fit_scaling
from trainers.model.classifier import Classifier, build_embedder

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (11, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    keras.utils.set_random_seed(1)
    backbone = resolve("tiny")
    body = backbone.load("none")
    embed = build_embedder(body)
    embeddings = np.asarray(embed(IMAGES.astype(np.float32), training=False))
    head = build_head(*fit_scaling(embeddings[:, None]), classes=4)
    head.set_weights([RNG.normal(size=weight.shape) for weight in head.get_weights()])
    return Classifier(backbone, body, embed, head, "")


@pytest.fixture(scope="module")
def folder(classifier: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    export.export(Source(classifier), folder, ["onnx"])
    heat_maps.export(classifier, folder)
    return folder


def test_heat_maps_equal_grad_cam(classifier: Classifier, folder: Path) -> None:
    parity = heat_maps.check_parity(Source(classifier), folder, IMAGES)
    assert (parity["tolerance"], parity["pictures"]) == (1e-3, 8)
    assert 0 <= parity["difference"] < 1e-4


def test_grad_cam_depends_on_the_class(classifier: Classifier) -> None:
    first, second = (
        heat_maps.grad_cam(classifier, IMAGES, np.full(len(IMAGES), index)) for index in (0, 1)
    )
    assert first.shape == (len(IMAGES), 4, 4)
    assert (first.min(), first.max()) == (0, 1)
    assert np.abs(first - second).max() > 0.5


def test_heat_maps_that_differ_are_refused(
    classifier: Classifier, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").symlink_to(folder / "model.onnx")
    part = onnx.load(folder / "heat_maps.onnx.part")
    kernel = next(array for array in part.graph.initializer if array.name == "heat_maps/kernel")
    values = onnx.numpy_helper.to_array(kernel)[:, ::-1]  # the classes in another order
    kernel.CopyFrom(onnx.numpy_helper.from_array(values, kernel.name))
    (tmp_path / "heat_maps.onnx.part").write_bytes(part.SerializeToString())
    with pytest.raises(ParityError, match=r"heat maps differ from Grad-CAM: .*allowed: 0\.001"):
        heat_maps.check_parity(Source(classifier), tmp_path, IMAGES)


def test_one_picture_on_which_a_unit_is_nearly_zero_does_not_stop_the_export(
    classifier: Classifier, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grad_cam = heat_maps.grad_cam

    def differ_once(*arguments: object) -> np.ndarray:
        maps = grad_cam(*arguments)
        maps[0] = 1 - maps[0]
        return maps

    monkeypatch.setattr(heat_maps, "grad_cam", differ_once)
    assert heat_maps.check_parity(Source(classifier), folder, IMAGES)["difference"] < 1e-4


def test_a_backbone_without_regions_has_no_heat_maps(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert heat_maps.has_regions(classifier)
    for channels, has_regions in ((11, True), (12, False)):
        monkeypatch.setattr(
            type(classifier.backbone), "whole_picture_channels", lambda *_, n=channels: n
        )
        assert heat_maps.has_regions(classifier) is has_regions


def test_channels_of_the_whole_picture_do_not_change_heat_maps(
    classifier: Classifier, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(classifier.backbone), "whole_picture_channels", lambda *_: 7)
    (tmp_path / "model.onnx").symlink_to(folder / "model.onnx")
    heat_maps.export(classifier, tmp_path)
    assert heat_maps.check_parity(Source(classifier), tmp_path, IMAGES)["difference"] < 1e-4
    assert (tmp_path / "heat_maps.onnx.part").read_bytes() != (
        folder / "heat_maps.onnx.part"
    ).read_bytes()
