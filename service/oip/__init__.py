"""The Open Inference Protocol v2, for the clients of KServe, Triton and others.

In: requests under /v2, in JSON or with the binary tensor extension. Out: answers in the same form.
It brings its own table of routes, and its part of the OpenAPI document.
May use: service.{bundle, errors, http, http.pages, http.uploads, schemas, served_model, state}.
"""
