"""A folder, an archive or a table of labels -> a labelled, checked, split `Dataset`.

In: a path. Out: paths, classes, digests and splits of the pictures, and the files that were left
out, with the reasons.
The order of the steps: the command lists the files with `scanning.scan`. `dataset.load_dataset`
inspects the pictures and groups duplicates. `grouping` assigns sources. `findings` and
`dataset.check_classes` check the dataset. `splits` splits it. In training and comparisons,
`trainers.cli.preparation` runs all steps after the scan.
May use: trainers.{cache, config, dataset.folders, dataset.tables, progress},
service.{errors, imaging, system}.
"""
