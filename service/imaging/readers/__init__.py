"""Readers of image formats, which read the headers of a picture and decode its pixels.

In: the bytes of a file. Out: an `ImageHeader`, which is read without decoding, or a `RequestError`.
The header's `decode` returns the pixels in their own colour space, as an array or a Pillow image.
May use: service.errors.
"""
