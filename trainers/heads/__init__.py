"""Heads, the layers that are trained on frozen features: two kinds, and the selection of one.

In: embeddings (N, D) and labels (N,). Out: a trained `Head` with its validation result.
May use: trainers.{evaluation, progress, resources}, plugins.copying.
"""
