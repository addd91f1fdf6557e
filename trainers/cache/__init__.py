"""Results kept on disk by the content that they were computed from, shared between runs.

In: a recipe and digests. Out: arrays; each is computed once, whatever asks for it.
May use: trainers.{progress, workspace}, service.{errors, system}.
"""
