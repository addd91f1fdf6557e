"""Writes README.md of a bundle: a model card of measured facts, which model hubs can read.

In: the manifest and the metrics of a model, and the options of its training. Out: Markdown with a
YAML head.
May use: trainers.{config, dataset.folders, reporting}, service.bundle.
"""
