"""Read the pictures in the body of a request, in memory and within limits.

In: the body of a request: a multipart form, JSON, or a picture.
Out: the bytes of each picture, or a `RequestError` that says what the sender has to change.
May use: service.{errors, schemas, server, settings}.
"""
