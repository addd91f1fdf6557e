from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.accuracy import pictures
from tests.conftest import DrawFolder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*/*")}


def test_training_and_test_pictures_are_different_files(
    draw_folder: DrawFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "TEST_PICTURES", 3)
    folder = draw_folder(tmp_path / "drawn", red=9, blue=9)
    assert pictures.draw(folder, 4, 0, tmp_path / "few") == 8
    assert pictures.draw(folder, None, 0, tmp_path / "all") == 12
    for label in ("red", "blue"):
        train, test = (
            {path.resolve() for path in (tmp_path / "few" / split / label).iterdir()}
            for split in ("train", "test")
        )
        assert (len(train), len(test), len(train & test)) == (4, 3, 0)
    # The same seed draws the same test, whatever the number of training pictures is.
    assert names(tmp_path / "few/test") == names(tmp_path / "all/test")
