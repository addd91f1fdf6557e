"""The HTTP interface: routes, handlers, and what every request passes on its way.

In: requests, and the state of the service. Out: JSON answers, errors of one shape, pages.
May use: everything below it, from service.served_model down; service.oip uses it.
"""
