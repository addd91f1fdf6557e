"""Code that the training commands share: options, the first steps on the data, how a run ends.

In: a command line. Out: a validated configuration, a checked and split dataset, exit codes and
messages.
First, `preparation` chooses the folder. Then the command itself lists the files with
`dataset.scanning.scan`. After that, `preparation` inspects the pictures, groups duplicates, assigns
sources, checks the dataset and splits it.
May use: trainers.{cache, config, dataset, dataset.findings, dataset.folders, dataset.splits,
progress}, plugins.registry, service.{bundle, cli, errors, system}.
"""
