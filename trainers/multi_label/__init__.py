"""Trains, measures and exports classifiers that give a picture any number of labels.

In: a split dataset whose `targets` say which labels each picture has. Out: a complete bundle, whose
model has one sigmoid per label. `trainers.run` calls `training.train` and
`bundle_writer.write_bundle` instead of those for single-label pictures. The phases of training are
those of `trainers.phases`.
May use: trainers.{config, dataset, dataset.findings, dataset.splits, evaluation, exporting,
guidance, heads, model_card, novelty, phases, progress, reporting, resources}, service.{bundle,
engine}, plugins.copying.
"""
