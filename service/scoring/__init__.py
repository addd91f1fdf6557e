"""The model's answers without HTTP: for files and folders, and for Python programs.

In: paths or pictures. Out: one row per picture, as text, JSON lines or CSV, or a `Prediction`.
May use: service.{engine, imaging, bundle, schemas, settings, system, cli, errors}.
"""
