"""Bytes of a picture in, RGB uint8 at the model's input size out: the one decoder.

Training and serving both call `decode`, so the two cannot disagree about a pixel.
In: the bytes of a file. Its kind and cost are read from the headers before anything is decoded.
Out: an array (size, size, 3) uint8, or a `RequestError` that says what is wrong with the picture.
May use: service.errors.
"""

from service.imaging.cost import MAX_PIXELS, Limits
from service.imaging.decoding import DECODER, FULL_RANGE_BITS, decode, inspect
from service.imaging.header import Header
from service.imaging.kinds import (
    ALWAYS_ACCEPTED,
    KINDS,
    OTHER_SUFFIXES,
    RAW_SUFFIXES,
    SUFFIXES,
    identify,
)
from service.imaging.process import configure_process

__all__ = [
    "ALWAYS_ACCEPTED",
    "DECODER",
    "FULL_RANGE_BITS",
    "KINDS",
    "MAX_PIXELS",
    "OTHER_SUFFIXES",
    "RAW_SUFFIXES",
    "SUFFIXES",
    "Header",
    "Limits",
    "configure_process",
    "decode",
    "identify",
    "inspect",
]
