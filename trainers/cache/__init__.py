"""Keeps results on disk for all runs, each under a hash of what it was computed from.

In: keys (hashes), and a recipe that computes missing records. All records of a recipe are arrays of
one shape. Out: the record of each key. The first run that needs a record computes it, and the cache
keeps it until it is evicted.
May use: trainers.{progress, workspace}, service.{errors, system}.
"""
