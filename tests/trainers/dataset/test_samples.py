from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainers.dataset import samples
from trainers.dataset.samples import DISEASES, draw_leaf, draw_samples


def test_the_dataset_has_four_classes_of_jpegs(tmp_path: Path) -> None:
    folder = draw_samples(tmp_path, per_class=3)
    assert sorted(path.name for path in folder.iterdir()) == sorted(DISEASES)
    pictures = sorted(folder.rglob("*.jpg"))
    assert len(pictures) == 12
    with Image.open(pictures[0]) as picture:
        assert picture.size == (160, 160)


def test_the_dataset_is_drawn_once_and_is_reproducible(tmp_path: Path) -> None:
    first = draw_samples(tmp_path / "one", per_class=2)
    content = {path.name: path.read_bytes() for path in (first / "rust").iterdir()}
    second = draw_samples(tmp_path / "two", per_class=2)
    assert content == {path.name: path.read_bytes() for path in (second / "rust").iterdir()}
    (first / "rust/000.jpg").write_bytes(b"mine")
    assert (draw_samples(tmp_path / "one", per_class=2) / "rust/000.jpg").read_bytes() == b"mine"


def test_an_interrupted_drawing_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(samples.DISEASES, "rust", interrupt)
        with pytest.raises(KeyboardInterrupt):
            draw_samples(tmp_path, per_class=2)
    assert list(tmp_path.iterdir()) == []
    assert len(list(draw_samples(tmp_path, per_class=2).rglob("*.jpg"))) == 8


@pytest.mark.parametrize("disease", ["leaf_spot", "powdery_mildew", "rust"])
def test_a_disease_changes_the_leaf_and_only_the_leaf(disease: str) -> None:
    healthy, ill = (
        np.asarray(draw_leaf(np.random.default_rng(3), DISEASES[name]), np.int16)
        for name in ("healthy", disease)
    )
    changed = np.abs(healthy - ill).max(axis=2) > 60  # more than the change by light and blur
    assert changed[40:120, 40:120].mean() > 0.02
    assert not changed[:6].any()
