"""Score files and folders without HTTP.

In: paths. Out: one row per picture, as text, JSON lines or CSV.
May use: service.{engine, imaging, bundle, schemas, settings, system, cli, errors}.
"""
