from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from service.bundle.reading import Bundle
from service.errors import GraftError
from trainers.dataset.splits.split_table import SplitRow, read_split
from trainers.progress import Progress
from trainers.promoting import side_by_side
from trainers.promoting.side_by_side import Answers, SideBySide, run_side_by_side

Draw = Callable[..., bytes]
MakeBundle = Callable[..., Bundle]


def run(new: Bundle, old: Bundle, folder: Path) -> SideBySide:
    rows = [row for row in read_split(new) if row.split == "test"]
    return run_side_by_side(new, old, rows, folder, Progress(is_quiet=True))


@pytest.mark.parametrize("timed", [1, 200])
def test_both_models_answer_the_same_pictures_in_one_order(
    timed: int, make_model: MakeBundle, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some pictures are classified one by one, and all others in parallel."""
    monkeypatch.setattr(side_by_side, "TIMED", timed)
    new, old = make_model("new"), make_model("old", blind=["green"], size=16)
    result = run(new, old, pictures)
    assert result.labels == ["blue", "blue", "green", "green", "red", "red"]
    assert result.new.hits.all()
    assert result.old.hits.tolist() == [True, True, False, False, True, True]
    assert result.new.scores == pytest.approx([0.988] * 6, abs=0.002)
    assert result.old.true_scores[2] == pytest.approx(
        1 / 3, abs=0.01
    )  # all classes are equally probable
    assert min(result.new.latency_ms, result.old.latency_ms) > 0
    assert not result.unusable


def test_classes_in_another_order_are_understood(make_model: MakeBundle, pictures: Path) -> None:
    renamed = make_model("renamed", classes=("green", "red", "blue"))
    result = run(make_model("new"), renamed, pictures)
    assert result.old.hits.tolist() == [True, True, False, False, False, False]


def test_unusable_pictures_are_left_out_and_counted(
    make_model: MakeBundle, pictures: Path, draw: Draw
) -> None:
    (pictures / "blue/3.jpg").write_bytes(draw("blue", "BMP"))
    kinds = ("JPEG", "PNG", "WEBP", "BMP")
    new, old = make_model("new"), make_model("old")
    spec = new.manifest.input.model_copy(update={"kinds": kinds})
    new = Bundle(new.path, new.manifest.model_copy(update={"input": spec}))
    (pictures / "red/2.jpg").unlink()
    (pictures / "green/2.jpg").write_bytes(draw("blue"))
    result = run(new, old, pictures)
    assert result.unusable == {
        f"are refused by {old.manifest.tag} (unsupported_media_type)": ["blue/3.jpg"],
        "have changed": ["green/2.jpg"],
        "are missing": ["red/2.jpg"],
    }
    assert result.labels == ["blue", "green", "red"]
    assert len(result.new.hits) == len(result.old.hits) == 3


def test_a_folder_without_any_of_the_pictures_is_an_error(
    make_model: MakeBundle, tmp_path: Path
) -> None:
    with pytest.raises(GraftError, match=r"none of the 6 .*6 are missing, e\.g\. .*use --data"):
        run(make_model("new"), make_model("old"), tmp_path)


def test_a_bug_is_not_taken_for_an_unusable_picture(make_model: MakeBundle, pictures: Path) -> None:
    new = make_model("new")
    unknown = [SplitRow("red/2.jpg", "", "purple", "test")]
    with pytest.raises(ValueError, match="not in"):
        run_side_by_side(new, new, unknown, pictures, Progress(is_quiet=True))


def test_calibration_and_loss_are_those_of_the_true_class() -> None:
    half, hits = np.full(4, 0.5, np.float32), np.array([True, True, False, False])
    answers = Answers(hits, half, half, latency_ms=1)
    assert answers.correct == 2
    assert answers.log_loss == pytest.approx(np.log(2))
    assert answers.calibration_error == 0
    assert answers.calibration_noise > 0
