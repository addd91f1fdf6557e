"""The HTTP interface: the table of routes, handlers, errors, and middleware.

In: requests, and the `ServiceState` that handlers are given. Out: JSON answers, and errors of one
format. A new endpoint is one function and one line in `routes`; `service.asgi` puts the routes of
this room and of service.oip together.
May use: service.{bundle, errors, http.pages, http.uploads, schemas, served_model, server,
settings, state}.
"""
