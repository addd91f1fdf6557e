"""Process-wide settings of the decoding libraries."""

from __future__ import annotations

import warnings

import cv2
from PIL import AvifImagePlugin


def configure_process() -> None:
    """Configure OpenCV and Pillow for decoding in many threads, and silence their warnings.

    Graft's own processes call this function when they start. It affects neither the pixels that
    `decode` returns nor the errors that it raises, so a program that imports Graft need not call
    this function.
    """
    # Pictures are decoded in parallel, one per thread. More threads would make this slower.
    cv2.setNumThreads(1)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    # Errors report damaged pictures. Additional warnings on stderr could fill the log, and Python
    # keeps the text of every warning in memory.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
