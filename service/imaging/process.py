"""Switches of the decoding libraries that hold for a whole process."""

from __future__ import annotations

import warnings

import cv2
from PIL import AvifImagePlugin


def configure_process() -> None:
    """Set up OpenCV and Pillow for many decoding threads and for damaged pictures.

    Call it where a process of Graft's own starts. `decode` gives the same pixels and refusals
    without it, so a program that only imports Graft keeps its own switches.
    """
    # Pictures are decoded side by side: more threads for each would only compete.
    cv2.setNumThreads(1)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    # Damaged pictures are refused with a message: no lines on stderr beside it. They could fill
    # the log, and Python remembers the text of each warning.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
