"""Explain answers: which regions of a picture speak for a class, and similar training pictures.

Start at `explainer.Explainer`. Its first explanation opens a session of its own, so that the
session that classifies pictures does no additional work.
In: a `Predictor`, and decoded pictures. Out: an `Explanation`, and a PNG that shows it.
May use: service.{bundle, cli, engine, errors}.
"""
