"""Measures how good an exported model is, and compares the answers of two models.

In: a predictor and labelled pictures, or the answers of two models. Out: metrics, or a comparison.
May use: trainers.{dataset, dataset.splits, progress, resources}, service.{bundle, cli, engine,
errors}.
"""
