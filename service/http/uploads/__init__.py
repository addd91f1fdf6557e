"""From the body of a request to the bytes of its pictures, in memory and within limits.

In: chunks of a multipart form, of JSON, or of a picture.
Out: bytes per picture, or a `RequestError` that says what the sender has to change.
May use: service.{errors, schemas, server, settings}.
"""
