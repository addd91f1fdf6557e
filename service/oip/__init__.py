"""The Open Inference Protocol v2, for the clients of KServe, Triton and others.

In: requests under /v2, in JSON or with binary tensors. Out: responses in JSON or with binary
tensors, as the request specifies. The package has its own table of routes, and builds its own
section of the OpenAPI document.
May use: service.{bundle, errors, http, http.pages, http.uploads, schemas, served_model, state}.
"""
