"""The trained classifier -> ONNX, SavedModel and a sealed bundle, if all of them agree.

In: a `Classifier`, its dataset and its history. Out: a bundle, complete or absent, in the store.
May use: trainers.{config, dataset, dataset.findings, evaluation, model, phases, progress,
reporting}, service.{bundle, cli, engine, errors, imaging}.
"""
