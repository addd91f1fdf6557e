"""Read the pictures in the body of a request, in memory and within limits.

To read this folder, start at `read_picture` in forms.py, which reads the one picture of a request
to /predict. Next to it, `read_pictures` reads the pictures of a request to /predict_batch.
In: the body of a request: a multipart form, JSON, or a picture.
Out: the bytes of each picture, or a `RequestError` that says what the sender has to change.
May use: service.{errors, schemas, server, settings}.
"""
