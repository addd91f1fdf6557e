"""Code that the training commands share: options, the first steps on the data, how a run ends.

In: a command line. Out: a validated configuration, a checked and split dataset, exit codes and
messages.
The first steps on the data: `preparation` chooses the folder. The command itself lists the files
with `dataset.scanning.scan`. Then `preparation` inspects the pictures and groups duplicates
(`load_dataset`), assigns sources, checks the dataset and splits it.
May use: trainers.{cache, config, dataset, dataset.findings, dataset.folders, progress},
plugins.registry, service.{cli, system}.
"""
