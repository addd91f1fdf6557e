"""Several backbones on one dataset: what each was measured to do, and which one to take.

In: names of backbones and a `Dataset`. Out: a table, a page, JSON and a suggestion.
May use: every room of trainers but conformance.
"""
