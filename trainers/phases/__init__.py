"""Transfer learning in two phases: the head on frozen features, then the last layers too.

In: a `Dataset`, a backbone and a configuration. Out: the trained classifier and its history.
May use: trainers.{heads, features, evaluation, dataset, model, resources, reporting, cache, config,
progress, hardware}, plugins, service.{errors, system}.
"""
