"""The body of a request -> the bytes of its pictures, in memory and within limits.

In: chunks of a multipart form, of JSON, or of a picture itself.
Out: bytes per picture, or a `RequestError` that names what the sender has to change.
May use: service.{errors, settings, schemas}.
"""
