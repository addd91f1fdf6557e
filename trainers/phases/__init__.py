"""Transfer learning in two phases: the head on frozen features, then the last layers too.

In: a `Dataset`, a backbone and a configuration. Out: the trained classifier, and how it was made.
May use: trainers.{cache, config, dataset, evaluation, features, hardware, heads, model, progress,
reporting, resources}, plugins.{base, copying}, service.{errors, system}.
"""
