"""Process-wide settings of the decoding libraries."""

from __future__ import annotations

import warnings

import cv2
from PIL import AvifImagePlugin


def configure_process() -> None:
    """Configure OpenCV and Pillow for many decoding threads and for damaged pictures.

    Call it where a process of Graft starts. Without it `decode` gives the same pixels and errors,
    so a program that only imports Graft keeps its own settings.
    """
    # Pictures are decoded in parallel; threads within each would only compete.
    cv2.setNumThreads(1)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    # Damaged pictures are refused with a message. Further lines on stderr could fill the log, and
    # Python keeps the text of every warning in memory.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
