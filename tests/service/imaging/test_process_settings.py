from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from PIL import AvifImagePlugin

from service.errors import UndecodableImage
from service.imaging import configure_process, decode


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(AvifImagePlugin, "DEFAULT_MAX_THREADS", 0)
    threads, level = cv2.getNumThreads(), cv2.utils.logging.getLogLevel()
    with warnings.catch_warnings():
        configure_process()
        yield
    cv2.setNumThreads(threads)
    cv2.utils.logging.setLogLevel(level)


@pytest.mark.usefixtures("configured")
def test_each_picture_is_decoded_by_one_thread() -> None:
    assert cv2.getNumThreads() == 1
    assert AvifImagePlugin.DEFAULT_MAX_THREADS == 1


@pytest.mark.usefixtures("configured")
def test_damaged_pictures_write_nothing_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    """libtiff would report the damage in OpenCV's log."""
    noise = np.random.default_rng(0).integers(0, 65536, (30, 40, 3), np.uint16)
    data = bytearray(cv2.imencode(".tiff", noise)[1].tobytes())
    data[100:200] = b"\xff" * 100
    with pytest.raises(UndecodableImage):
        decode(bytes(data), 32)
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("configured")
def test_only_pillows_warnings_are_switched_off() -> None:
    warnings.warn_explicit("corrupt EXIF data", UserWarning, "file.py", 1, "PIL.TiffImagePlugin")
    with pytest.raises(UserWarning, match="another"):  # pytest turns warnings into errors
        warnings.warn_explicit("another", UserWarning, "file.py", 1, "PILLOW")


def test_importing_leaves_the_process_as_it_was() -> None:
    code = """
import warnings
import cv2
from PIL import AvifImagePlugin

def switches():
    level = cv2.utils.logging.getLogLevel()
    return cv2.getNumThreads(), level, AvifImagePlugin.DEFAULT_MAX_THREADS, warnings.filters[:]

cv2.setNumThreads(3)
before = switches()
import service.engine.predictor
assert switches() == before, (before, switches())
"""
    subprocess.run([sys.executable, "-c", code], check=True)
