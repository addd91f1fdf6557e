"""Trains the head (the layers that classify features of a frozen backbone).

In: embeddings (N, D) and labels (N,). Out: a trained `Head` with its validation result.
May use: trainers.{evaluation, resources}, plugins.copying.
"""
