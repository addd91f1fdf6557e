"""Exports the trained classifier as ONNX and SavedModel, checks both, and writes the bundle.

`bundle_writer.write_bundle` calls the other modules, except `registration`, which runs last.
In: a `Classifier`, its dataset and its history. Out: a complete bundle, and a copy of it in
BentoML's store. If a check fails, no bundle is written.
May use: trainers.{config, dataset, dataset.findings, dataset.folders, dataset.splits, evaluation,
model, model_card, novelty, phases, progress, reporting}, service.{bundle, cli, engine, errors,
explanation, imaging, monitoring}.
"""
