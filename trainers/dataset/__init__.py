"""A folder or an archive of pictures -> a labelled, split, checked `Dataset`.

In: a path. Out: paths, classes, digests and splits of the pictures, and the files that were left
out, with the reasons.
May use: trainers.{cache, config, dataset.folders, progress}, service.{errors, imaging, system}.
"""
