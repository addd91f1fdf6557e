"""Read the pictures in the body of a request, in memory and within limits.

Start reading at `read_picture` and `read_pictures` in forms.py: they read a request to /predict or
/predict_batch into pictures.
In: the body of a request: a multipart form, JSON, or a picture.
Out: the bytes of each picture, or a `RequestError` that says what the sender has to change.
May use: service.{errors, schemas, server, settings}.
"""
