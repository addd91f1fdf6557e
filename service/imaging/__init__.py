"""Decode the bytes of a picture to RGB uint8 at the model's input size.

Training and serving both call `decode`, so that both use the same pixels.
In: the bytes of a file. Its headers are read before its pixels are decoded. They show the format
and the size of the picture, and how much time and memory decoding will take.
Out: a uint8 array of shape (size, size, 3), or a `RequestError` that says what is wrong with the
picture.
May use: service.{errors, imaging.readers}.
"""

from service.imaging.decoding import DECODER, FULL_RANGE_BITS, decode, inspect
from service.imaging.formats import ALWAYS_ACCEPTED, FORMATS, SUFFIXES, identify_format
from service.imaging.limits import MAX_PIXELS, Limits
from service.imaging.process_settings import configure_process
from service.imaging.unsupported import OTHER_SUFFIXES, RAW_SUFFIXES

__all__ = [
    "ALWAYS_ACCEPTED",
    "DECODER",
    "FORMATS",
    "FULL_RANGE_BITS",
    "MAX_PIXELS",
    "OTHER_SUFFIXES",
    "RAW_SUFFIXES",
    "SUFFIXES",
    "Limits",
    "configure_process",
    "decode",
    "identify_format",
    "inspect",
]
