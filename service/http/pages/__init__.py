"""Handlers of GET requests: the web page, the model's description, metrics, the OpenAPI document.

In: the `ServiceState`. Out: HTML, JSON, and Prometheus' text format.
May use: service.{bundle, engine, errors, schemas, settings, state}.
"""
