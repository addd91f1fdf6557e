"""Trains heads, the layers that classify the features of a frozen backbone; selects the best.

In: embeddings (N, D) and labels (N,). Out: a trained `Head` with its validation result.
May use: trainers.{evaluation, progress, resources}, plugins.copying.
"""
