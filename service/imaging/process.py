"""Process-wide settings of the decoding libraries."""

from __future__ import annotations

import warnings

import cv2
from PIL import AvifImagePlugin


def configure_process() -> None:
    """Configure OpenCV and Pillow for decoding in many threads, and silence their warnings.

    Graft's own processes call this function when they start. It does not change the pixels or
    errors of `decode`, so a program that only imports Graft need not call it.
    """
    # Pictures are decoded in parallel, one per thread. More threads would make this slower.
    cv2.setNumThreads(1)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    # Errors report damaged pictures. Additional warnings on stderr could fill the log, and Python
    # keeps the text of every warning in memory.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
