"""Results kept on disk by the content that they were computed from, shared between runs.

In: a recipe and keys. Out: arrays; each record is computed once, whichever run needs it.
May use: trainers.{progress, workspace}, service.{errors, system}.
"""
