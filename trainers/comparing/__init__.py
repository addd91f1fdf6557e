"""Several backbones on one dataset: their accuracy, speed and size, and which one to take.

In: names of backbones and a `Dataset`. Out: a table, a page, JSON and a recommendation.
May use: every room of trainers but conformance.
"""
