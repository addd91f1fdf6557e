from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from trainers.dataset.decoded_images import Images
from trainers.exporting import thumbnails

Scene = Callable[..., Image.Image]


def test_each_picture_has_a_small_jpeg_without_metadata(tmp_path: Path, scene: Scene) -> None:
    images = np.stack([np.asarray(scene(seed, (224, 224))) for seed in range(3)])
    dataset = SimpleNamespace(images=Images.from_array(images))
    path = tmp_path / "thumbnails.npz"
    thumbnails.write(dataset, np.array([2, 0]), path)
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays["rows"].tolist() == [2, 0]
        first, second = np.split(arrays["jpegs"], arrays["ends"])[:2]
    for row, jpeg in ((2, first), (0, second)):
        with Image.open(io.BytesIO(jpeg.tobytes())) as picture:
            assert (picture.format, picture.size) == ("JPEG", (112, 112))
            assert not picture.getexif()
            assert "comment" not in picture.info
            difference = np.asarray(picture, float).mean() - images[row].mean()
            assert abs(difference) < 3
        assert len(jpeg) < 12_000
