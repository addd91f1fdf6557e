"""After an interruption, drawing continues, and gives the same pictures."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from trainers.pretraining import drawn_dataset
from trainers.pretraining.drawn_dataset import draw_class, draw_dataset
from trainers.progress import Progress

ROOT = Path(__file__).parents[3]
QUIET = Progress(is_quiet=True)


def test_pictures_of_a_class_are_contiguous(tmp_path: Path) -> None:
    drawn = draw_dataset(3, 4, 7, tmp_path, QUIET)
    assert drawn.images.shape == (12, drawn_dataset.PICTURE_SIZE, drawn_dataset.PICTURE_SIZE, 3)
    for number in range(3):
        np.testing.assert_array_equal(drawn.images[4 * number :][:4], draw_class(number, 4, 7))


def test_finished_classes_are_not_drawn_again(tmp_path: Path) -> None:
    expected = np.array(draw_dataset(4, 2, 0, tmp_path, QUIET).images)
    # The state after a kill during the third class.
    (tmp_path / "classes-drawn.txt").write_text("2")
    cut_off = np.memmap(tmp_path / "pictures.u8", np.uint8, "r+", shape=expected.shape)
    cut_off[4:] = 0
    changed_value = cut_off[0, 0, 0, 0] = np.uint8(
        expected[0, 0, 0, 0] ^ 1
    )  # change a finished picture
    cut_off.flush()
    redrawn = draw_dataset(4, 2, 0, tmp_path, QUIET).images
    np.testing.assert_array_equal(redrawn[4:], expected[4:])
    assert redrawn[0, 0, 0, 0] == changed_value


def test_the_last_pictures_of_each_class_are_held_out(tmp_path: Path) -> None:
    drawn = draw_dataset(2, 5, 0, tmp_path, QUIET)
    learn, held_out = drawn.split(2)
    assert learn.tolist() == [0, 1, 2, 5, 6, 7]
    assert held_out.tolist() == [3, 4, 8, 9]
    assert drawn.labels(held_out).tolist() == [0, 0, 1, 1]


DRAW_FOR_EVER = """
import sys
from pathlib import Path
from trainers.pretraining.drawn_dataset import draw_dataset
from trainers.progress import Progress
if __name__ == "__main__":
    draw_dataset(5000, 20, 0, Path(sys.argv[1]), Progress(is_quiet=True))
"""


@pytest.mark.slow
def test_a_killed_run_leaves_no_process_behind(tmp_path: Path) -> None:
    script = tmp_path / "draw.py"
    script.write_text(DRAW_FOR_EVER)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), str(tmp_path / "run")]
    (tmp_path / "run").mkdir()
    with subprocess.Popen(command, env=environment) as process:
        children: list[psutil.Process] = []
        while len(children) < 2 and process.poll() is None:
            children = psutil.Process(process.pid).children(recursive=True)
            time.sleep(0.05)
        process.kill()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []


@pytest.mark.parametrize("content", ["", "abc", "-3"])
def test_pictures_are_drawn_again_after_damage_to_progress_file_or_array(
    tmp_path: Path, content: str
) -> None:
    expected = np.array(draw_dataset(2, 2, 0, tmp_path, QUIET).images)
    (tmp_path / "classes-drawn.txt").write_text(content)
    np.testing.assert_array_equal(draw_dataset(2, 2, 0, tmp_path, QUIET).images, expected)
    os.truncate(tmp_path / "pictures.u8", 1000)
    np.testing.assert_array_equal(draw_dataset(2, 2, 0, tmp_path, QUIET).images, expected)
