"""Transfer learning in two phases: train a head on frozen features, then fine-tune the last layers.

`transfer_learning.train` runs both phases: start there.
In: a `Dataset`, a backbone and a configuration. Out: the trained classifier, and a record of its
training.
May use: trainers.{cache, config, dataset, dataset.splits, evaluation, features, guidance, hardware,
heads, model, progress, reporting, resources}, plugins.{base, copying}, service.{errors, system}.
"""
