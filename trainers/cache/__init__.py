"""Results kept on disk under a hash of what they were computed from, shared between runs.

In: keys (hashes), and a recipe that computes missing records (arrays of one shape). Out: the record
of each key. A record is computed once, by the first run that needs it.
May use: trainers.{progress, workspace}, service.{errors, system}.
"""
