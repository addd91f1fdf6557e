"""Compares a new model with the champion on pictures new to both, and chooses the champion.

In: two bundles and the folder of the pictures. Out: figures and a verdict, and the champion of the
name in BentoML's model store. Start at `decision.promote`.
May use: trainers.{dataset, dataset.splits, evaluation, progress}, service.{bundle, cli, engine,
errors, system}.
"""
