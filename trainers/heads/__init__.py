"""Trains heads (the layers that classify features of a frozen backbone), and selects the best.

In: embeddings (N, D) and labels (N,). Out: a trained `Head` with its validation result.
May use: trainers.{evaluation, progress, resources}, plugins.copying.
"""
