"""Figures -> pages for people, plots as inline SVG, and files for TensorBoard.

In: predictions of a model and its dataset. Out: one HTML page without scripts or links.
May use: trainers.{dataset, evaluation}, service.{bundle, cli, errors}.
"""
