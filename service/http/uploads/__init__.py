"""Read the pictures in the body of a request, in memory and within limits.

The entry points are in forms.py: `read_picture` for requests to /predict, and `read_pictures` for
requests to /predict_batch.
In: the body of a request: a multipart form, JSON, or the bytes of a picture.
Out: the bytes of each picture, or a `RequestError` that says what the client has to change.
May use: service.{errors, schemas, server, settings}.
"""
