"""A folder or an archive of pictures -> a labelled, split, checked `Dataset`.

In: a path. Out: paths, classes, digests, splits, and what was left out and why.
May use: trainers.{cache, config, dataset.folders, progress}, service.{errors, imaging, system}.
"""
