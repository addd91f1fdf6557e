"""Measures how good an exported model is, and decides which of two models is better.

In: a predictor and labelled pictures, or two bundles. Out: metrics, or the better of two models.
May use: trainers.{dataset, progress, resources}, service.{bundle, cli, engine, errors, system}.
"""
