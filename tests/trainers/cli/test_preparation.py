from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from trainers.cache.array_cache import Cache
from trainers.cli.preparation import choose_folder, prepare_dataset
from trainers.config import TrainingConfig
from trainers.dataset import scanning
from trainers.dataset.folders.errors import DataError
from trainers.dataset.samples import is_sample_dataset
from trainers.dataset.splits.splitting import write_csv
from trainers.progress import Progress

DrawFolder = Callable[..., Path]
SILENT = Progress(is_quiet=True)


def test_a_given_folder_is_used(tmp_path: Path) -> None:
    assert choose_folder(TrainingConfig(plugin="tiny", data=str(tmp_path))) == tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(("data", "level"), [("demo", logging.INFO), (None, logging.WARNING)])
def test_samples_are_drawn_for_demo_and_with_a_warning_without_data(
    data: str | None,
    level: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO, "graft")
    logging.getLogger("graft").addHandler(caplog.handler)
    assert is_sample_dataset(choose_folder(TrainingConfig(plugin="tiny", data=data)))
    logging.getLogger("graft").removeHandler(caplog.handler)
    assert caplog.records[0].levelno == level


def test_a_dataset_is_read_checked_and_split(
    tmp_path: Path, draw_folder: DrawFolder, cache: Cache
) -> None:
    folder = draw_folder(tmp_path / "pictures", red=14, blue=14)
    files, config = scanning.scan(folder), TrainingConfig(plugin="tiny", strict=True)
    dataset, findings = prepare_dataset(files, config, 32, cache, SILENT)
    assert set(dataset.splits) == {"train", "validation", "test"}
    assert findings == ()
    with pytest.raises(DataError, match=r"--strict stops the run because of \d+ findings?, listed"):
        prepare_dataset(files, config, 640, cache, SILENT)  # all pictures are too small for it


def test_the_split_of_an_earlier_run_is_kept(
    tmp_path: Path, draw_folder: DrawFolder, cache: Cache
) -> None:
    folder = draw_folder(tmp_path / "pictures", red=14, blue=14)
    first, _ = prepare_dataset(
        scanning.scan(folder), TrainingConfig(plugin="tiny"), 32, cache, SILENT
    )
    write_csv(first, tmp_path / "split.csv")
    for path in (folder / "red").iterdir():
        path.rename(path.with_name(f"renamed {path.name}"))
    config = TrainingConfig(plugin="tiny", seed=7, split=str(tmp_path / "split.csv"))
    second, _ = prepare_dataset(scanning.scan(folder), config, 32, cache, SILENT)
    splits = [dict(zip(data.digests, data.splits, strict=True)) for data in (first, second)]
    assert splits[0] == splits[1]
    assert second.pinned["kept"] == 28
