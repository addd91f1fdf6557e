"""What is wrong with a dataset, and what to do about it: a line in `checks.CHECKS` per check.

In: a `Dataset`. Out: `Finding`s, each with its severity, its pictures and its remedy.
May use: trainers.{dataset, dataset.folders, progress}, service.imaging.
"""
