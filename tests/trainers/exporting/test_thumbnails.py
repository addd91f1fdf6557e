from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from service import load
from trainers.dataset.decoded_images import Images
from trainers.exporting import bundle_writer, thumbnails
from trainers.phases import transfer_learning
from trainers.phases.context import TrainingContext
from trainers.progress import Progress, log
from trainers.reporting.gallery import make_jpeg

Scene = Callable[..., Image.Image]


def test_each_reference_has_a_small_jpeg_without_metadata(tmp_path: Path, scene: Scene) -> None:
    images = np.stack([np.asarray(scene(seed, (224, 224))) for seed in range(3)])
    np.savez(tmp_path / "novelty.npz", rows=[2, 0], centre=np.zeros(4))
    thumbnails.write(SimpleNamespace(images=Images.from_array(images)), tmp_path)
    with np.load(tmp_path / "thumbnails.npz", allow_pickle=False) as arrays:
        assert arrays["rows"].tolist() == [2, 0]
        first, second, rest = np.split(arrays["jpegs"], arrays["ends"])
    assert len(rest) == 0
    for row, jpeg in ((2, first), (0, second)):
        with Image.open(io.BytesIO(jpeg.tobytes())) as picture:
            assert (picture.format, picture.size) == ("JPEG", (112, 112))
            assert not picture.getexif()
            assert "comment" not in picture.info
            difference = np.asarray(picture, float).mean() - images[row].mean()
            assert abs(difference) < 3
        assert len(jpeg) < 12_000


def test_without_references_there_are_no_thumbnails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log.addHandler(caplog.handler)
    thumbnails.write(SimpleNamespace(images=None), tmp_path)
    log.removeHandler(caplog.handler)
    assert not list(tmp_path.iterdir())
    assert "no thumbnails are kept" in caplog.text


@pytest.mark.slow
def test_a_model_shows_the_training_pictures_that_a_picture_is_like(
    start: Callable[..., TrainingContext], tmp_path: Path
) -> None:
    context = start(red=50, blue=50, strategy="features", keep_thumbnails=True)
    trained = transfer_learning.train(context)
    for folder in (tmp_path / "work", context.config.output):
        folder.mkdir()
    bundle, _ = bundle_writer.write_bundle(
        trained, context.dataset, [], context.config, tmp_path / "work", Progress(is_quiet=True)
    )
    dataset = context.dataset
    row = int(dataset.rows("train")[0])
    explanation = load(bundle.path).explain(dataset.folder / dataset.paths[row])
    assert explanation.label == dataset.classes[dataset.labels[row]]
    assert explanation.heat_map.shape == (4, 4)
    assert len(explanation.nearest) == 5
    first = explanation.nearest[0]
    assert first.path == dataset.paths[row], "nothing is more like a picture than itself"
    assert first.label == explanation.label
    expected = make_jpeg(dataset.images[np.array([row])][0])
    assert first.thumbnail == expected
