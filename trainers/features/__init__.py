"""Turns pictures into decoded arrays, augmented views, features of a frozen backbone, and batches.

In: a `Dataset` and a backbone. Out: arrays from the cache, and batches for training.
A new augmentation goes into `augmentation.py`, whether it changes pictures or training batches.
May use: trainers.{cache, dataset, hardware, model, progress, resources}, plugins.base,
service.{engine, imaging, system}.
"""
