from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow.core.util import event_pb2

from trainers.reporting.tensorboard import Board, BoardError


def read(folder: Path) -> list[tuple[str, int, float]]:
    """Read tag, step and value of all scalars in the only event file of a folder."""
    (file,) = folder.glob("events.out.tfevents.*")
    scalars = []
    for record in tf.data.TFRecordDataset(str(file)):
        event = event_pb2.Event.FromString(record.numpy())
        for value in event.summary.value:
            assert value.metadata.plugin_data.plugin_name == "scalars"
            scalars.append((value.tag, event.step, float(tf.make_ndarray(value.tensor))))
    return scalars


def test_epochs_can_be_read_back_as_scalars(tmp_path: Path) -> None:
    board = Board(tmp_path / "logs")
    board.add("fine-tuning", 1, {"loss": 2.0, "val_loss": 3.0, "val_accuracy": 0.5})
    board.add("fine-tuning", 2, {"loss": 1.5, "val_loss": None, "val_accuracy": 0.25})
    assert read(tmp_path / "logs/fine-tuning/training") == [("loss", 1, 2.0), ("loss", 2, 1.5)]
    assert read(tmp_path / "logs/fine-tuning/validation") == [
        ("loss", 1, 3.0),
        ("accuracy", 1, 0.5),
        ("accuracy", 2, 0.25),
    ]


def test_without_a_folder_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Board(None).add("head", 1, {"loss": 1.0})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(
        BoardError, match=f"--tensorboard: cannot create the folder {tmp_path}/file/logs"
    ):
        Board(tmp_path / "file/logs")  # raised before anything is trained
