"""Compares backbones on one dataset: accuracy, speed and size of each, and which one to use.

In: names of backbones and a `Dataset`. Out: a table for the terminal, an HTML page with a JSON file
beside it, and a recommendation.
May use: trainers.{cache, config, dataset, dataset.findings, dataset.folders, dataset.splits,
evaluation, features, heads, model, phases, progress, reporting}, plugins.{base,
registry}, service.{bundle, cli, engine, errors, system}.
"""
