"""The HTTP interface: the table of routes, the handlers, the error format, and the middleware.

In: requests, and the `ServiceState` of the process. Out: responses in JSON; all errors have one
format.
To add an endpoint, write a handler and add a line to the table in `routes`; `service.asgi` combines
this table with that of `service.oip`.
May use: service.{bundle, errors, explanation, http.pages, http.uploads, schemas, served_model,
server, settings, state}.
"""
