"""What is read by GET: the page for people, the model's description, metrics, the OpenAPI document.

In: the state of the service. Out: HTML, JSON and Prometheus' text format.
May use: service.{bundle, engine, settings, schemas, errors}.
"""
