from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from service.imaging import decode
from trainers.cache.array_cache import Cache
from trainers.dataset.dataset import Dataset, load_dataset
from trainers.dataset.folders.errors import DataError
from trainers.dataset.scanning import scan
from trainers.features import decoding

DrawFolder = Callable[..., Path]


@pytest.fixture
def dataset(tmp_path: Path, draw_folder: DrawFolder, cache: Cache) -> Dataset:
    return load_dataset(scan(draw_folder(tmp_path / "pictures", red=4, blue=3)), cache)


def test_pictures_are_decoded_as_the_service_does(dataset: Dataset, cache: Cache) -> None:
    images = decoding.decode_lazily(dataset, 32, cache).images
    assert (images.shape, images[:].dtype) == ((7, 32, 32, 3), np.uint8)
    for path, image in zip(dataset.paths, images[:], strict=True):
        np.testing.assert_array_equal(image, decode((dataset.folder / path).read_bytes(), 32))


def test_a_file_that_has_changed_since_the_scan_stops_the_run(
    dataset: Dataset, cache: Cache
) -> None:
    path = dataset.folder / "red/2.png"
    path.write_bytes((dataset.folder / "red/1.png").read_bytes())
    with pytest.raises(DataError, match=r"red/2\.png was changed after the folder was read: wait"):
        decoding.decode_lazily(dataset, 32, cache).images[:]
    path.unlink()
    with pytest.raises(DataError, match=r"red/2\.png was changed"):
        decoding.decode_lazily(dataset, 32, cache).images[:]
