"""Several processes that train one model: who takes part, and what they tell each other.

In: TF_CONFIG. Out: a `Cluster`, and collective operations over it.
May use: trainers.{hardware, progress}, service.errors.
"""
