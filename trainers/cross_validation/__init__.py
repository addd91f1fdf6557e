"""Cross-validates a training run (--folds): trains a model per fold, and measures each of them.

In: a dataset and the context of a run. Out: the folds as datasets, and their metrics for
metrics.json. The fold models are not kept.
May use: trainers.{dataset, dataset.folders, dataset.splits, evaluation, exporting, hardware, heads,
phases, progress}, service.bundle.
"""
