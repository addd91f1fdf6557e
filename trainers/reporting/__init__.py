"""Figures -> pages for people, plots as inline SVG, and TensorBoard's files.

In: answers of a model and its dataset. Out: one HTML page without scripts or links.
May use: trainers.{dataset, evaluation}, service.errors.
"""
