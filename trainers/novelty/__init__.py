"""Fits the novelty of a model, and measures how well it tells known pictures from unknown ones.

In: embeddings of training pictures, and what the exported model outputs for validation and test.
Out: the bundle's novelty.npz, and figures for metrics.json.
May use: trainers.{dataset, evaluation, progress, resources}, service.engine.
"""
