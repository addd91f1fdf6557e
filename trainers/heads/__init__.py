"""The layers that are trained on frozen features, and how one of them is chosen.

In: embeddings (N, D) and labels (N,). Out: a `Head` with its validation figures.
May use: trainers.{evaluation, progress, resources}, plugins.copying.
"""
