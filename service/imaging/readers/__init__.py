"""Readers of image formats, which read the headers of a picture and decode its pixels.

In: the bytes of a file. Out: an `ImageHeader`, or a `RequestError`. Reading the header decodes no
pixels. The header's `decode` returns the pixels in the colour space of the file, as an array or a
Pillow image.
May use: service.errors.
"""
