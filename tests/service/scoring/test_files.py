from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.bundle.reading import Bundle
from service.engine.predictor import Predictor
from service.engine.session_config import SessionConfig
from service.errors import PayloadTooLarge, UnreadableFile
from service.imaging import decode
from service.scoring.files import ScoredFile, read_file, score_files
from service.settings import Settings

Draw = Callable[..., bytes]
CONFIG = SessionConfig(sessions=1, session_threads=1, max_batch_size=2)
SETTINGS = Settings(threads=2)
WINDOW = 2 * 1 * 2 + 16 * 2


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Bundle) -> Predictor:
    return Predictor(tiny_bundle, threads=1)


@pytest.fixture
def paths(tmp_path: Path, draw: Draw) -> list[str]:
    """Red, green and blue pictures, three times as many as fit into the window."""
    colours = [("red", "green", "blue")[number % 3] for number in range(3 * WINDOW)]
    files = [tmp_path / f"{number}-{colour}.png" for number, colour in enumerate(colours)]
    for file, colour in zip(files, colours, strict=True):
        file.write_bytes(draw(colour, "PNG"))
    return [str(file) for file in files]


def score(
    paths: list[str], predictor: Predictor, settings: Settings = SETTINGS
) -> list[ScoredFile]:
    return list(score_files(paths, predictor, CONFIG, settings))


def picture_threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("picture-")]


def test_answers_equal_the_predictors_in_the_order_of_the_paths(
    paths: list[str], predictor: Predictor
) -> None:
    answers = score(paths, predictor)
    assert [result.path for result in answers] == paths
    for result in answers:
        image = decode(Path(result.path).read_bytes(), predictor.image_size)
        np.testing.assert_allclose(
            result.classification.probabilities, predictor.predict(image[None])[0], atol=1e-6
        )
    assert not picture_threads()


def test_a_slow_picture_keeps_its_place(
    paths: list[str], predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow_once(path: Path, max_bytes: int) -> bytes:
        if str(path) == paths[0]:
            time.sleep(0.3)
        return read_file(path, max_bytes)

    monkeypatch.setattr("service.scoring.files.read_file", slow_once)
    assert [result.path for result in score(paths, predictor)] == paths


def test_no_more_than_a_window_is_in_flight(paths: list[str], predictor: Predictor) -> None:
    read_count = 0

    def counted() -> Iterator[str]:
        nonlocal read_count
        for path in paths:
            read_count += 1
            yield path

    with closing(score_files(counted(), predictor, CONFIG, SETTINGS)) as answers:
        for number, _ in enumerate(answers, 1):
            assert read_count <= number + WINDOW
            if number == 5:
                break
    assert read_count < len(paths)


def test_a_bad_picture_fails_alone(tmp_path: Path, draw: Draw, predictor: Predictor) -> None:
    contents = {
        "good.jpg": draw("green"),
        "empty.jpg": b"",
        "text.jpg": b"no picture",
        "cut.png": draw("red", "PNG")[:60],
        "wide.png": draw("red", "PNG", (200, 100)),
        "also good.png": draw("blue", "PNG"),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "heavy.jpg").write_bytes(draw("red") + bytes(10_000))
    names = [*contents, "heavy.jpg", "gone.jpg"]
    settings = SETTINGS.model_copy(update={"max_pixels": 10_000, "max_image_bytes": 10_000})
    answers = score([str(tmp_path / name) for name in names], predictor, settings)
    codes = [result.error and result.error.code for result in answers]
    assert codes == [
        *(None, "undecodable_image", "unsupported_media_type", "undecodable_image"),
        *("too_large", None, "too_large", "unreadable_file"),
    ]
    assert [result.classification is None for result in answers] == [bool(code) for code in codes]


def test_stopping_early_leaves_no_thread(paths: list[str], predictor: Predictor) -> None:
    with closing(score_files(paths, predictor, CONFIG, SETTINGS)) as answers:
        next(answers)
        assert len(picture_threads()) == 2
    assert not picture_threads()


def test_an_error_of_the_model_ends_scoring(
    paths: list[str], predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(predictor, "classify", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        score(paths, predictor)
    assert not picture_threads()


def test_paths_that_are_not_text_are_read(tmp_path: Path, draw: Draw, predictor: Predictor) -> None:
    name = os.fsencode(tmp_path) + b"/\xff.jpg"
    Path(os.fsdecode(name)).write_bytes(draw("blue"))
    (answer,) = score([os.fsdecode(name)], predictor)
    assert answer.error is None


def test_pipes_and_folders_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for name in ("pipe.jpg", "."):
        with pytest.raises(UnreadableFile, match="not a picture file"):
            read_file(tmp_path / name, 10)


def test_a_file_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "1").write_bytes(bytes(10))
    assert read_file(tmp_path / "1", 10) == bytes(10)
    with pytest.raises(PayloadTooLarge, match=r"10 bytes; at most 9 are .* GRAFT_MAX_IMAGE_BYTES"):
        read_file(tmp_path / "1", 9)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="cannot be read: No such file or directory"):
        read_file(tmp_path / "1", 9)
