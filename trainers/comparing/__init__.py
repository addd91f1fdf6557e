"""Several backbones on one dataset: their accuracy, speed and size, and which one to take.

In: names of backbones and a `Dataset`. Out: a table, a page, JSON and a recommendation.
May use: trainers.{cache, config, dataset, dataset.findings, dataset.folders, evaluation,
exporting, features, heads, model, phases, progress, reporting}, plugins.{base, registry},
service.{bundle, cli, engine, errors, system}.
"""
