"""Splits a dataset into training, validation and test pictures, or keeps the split of a bundle.

In: a `Dataset`, and perhaps the split.csv of an earlier bundle. Out: the `Dataset` with its splits.
May use: trainers.{config, dataset, dataset.folders, progress}, service.bundle.
"""
