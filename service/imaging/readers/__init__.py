"""Readers of image formats: headers without decoding, and pixels as they are stored.

In: the bytes of a file. Out: an `ImageHeader`, whose `decode` gives the pixels as an array or a
Pillow image, or a `RequestError`.
May use: service.errors.
"""
