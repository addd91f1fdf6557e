"""Pictures -> decoded arrays, augmented views, the features of a frozen backbone, and batches.

In: a `Dataset` and a backbone. Out: arrays from the cache, and batches for training.
May use: trainers.{dataset, cache, model, resources, hardware, progress}, plugins, service.{imaging,
engine, system}.
"""
