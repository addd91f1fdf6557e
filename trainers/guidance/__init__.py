"""Says what to do next: which labels to check, and what more pictures would bring.

In: the embeddings of a sample of pictures (a `Pool`), and the value of C of the trained head. Out:
an `Advice` for the report, metrics.json and CSV files.
May use: trainers.{dataset, heads, resources}.
"""
