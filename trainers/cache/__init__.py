"""Results kept on disk under a hash of what they were computed from, shared between runs.

In: keys (hashes), and a recipe that computes missing records (arrays of one shape). Out: the record
of each key. The first run that needs a record computes it; the record stays until it is evicted.
May use: trainers.{progress, workspace}, service.{errors, system}.
"""
