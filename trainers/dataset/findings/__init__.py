"""Checks of a dataset: each finding says what is wrong, where, why it matters, and what to do.

In: a `Dataset`. Out: `Finding`s with their severity, message and pictures. `checks.CHECKS` lists
all checks.
May use: trainers.{dataset, dataset.folders, progress}, service.imaging.
"""
