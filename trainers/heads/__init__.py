"""The layers that are trained on frozen features: kinds of heads, and how one is selected.

In: embeddings (N, D) and labels (N,). Out: a `Head` with its validation result.
May use: trainers.{evaluation, progress, resources}, plugins.copying.
"""
