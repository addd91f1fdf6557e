"""Handlers of GET requests: the web page, the model's description, metrics, the OpenAPI document.

In: the `ServiceState`; for the OpenAPI document, only its manifest and settings.
Out: HTML, JSON, and Prometheus' text format.
May use: service.{bundle, engine, errors, schemas, settings, state}.
"""
