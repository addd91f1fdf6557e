"""The trained classifier -> ONNX, SavedModel and a sealed bundle, if all formats agree.

In: a `Classifier`, its dataset and its history. Out: a complete bundle, also in BentoML's store,
or none at all.
May use: trainers.{config, dataset, dataset.findings, evaluation, model, phases, progress,
reporting}, service.{bundle, cli, engine, errors, imaging}.
"""
