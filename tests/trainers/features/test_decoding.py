from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.imaging import decode
from trainers.cache.array_cache import Cache
from trainers.cache.record_store import Records
from trainers.dataset.dataset import Dataset, load_dataset
from trainers.dataset.decoded_images import Images
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


@pytest.mark.parametrize(("most", "expected"), [(5, set(range(7))), (4, {5, 6})])
def test_training_pictures_are_prefetched_if_they_are_few(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, most: int, expected: set[int]
) -> None:
    decoded: set[int] = set()

    def decode_rows(rows: NDArray[np.int64]) -> Records:
        decoded.update(rows.tolist())
        return Records(np.zeros((len(rows), 32, 32, 3), np.uint8), np.arange(len(rows)))

    monkeypatch.setattr(decoding, "MAX_PREFETCHED", most)
    splits = ("train",) * 5 + ("test",) * 2
    dataset = replace(dataset, splits=splits, images=Images(7, 32, decode_rows))
    decoding.prefetch(dataset)
    dataset.images.records(dataset.rows("test"))  # waits for all batches before it
    assert decoded == expected
