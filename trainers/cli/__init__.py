"""Code that the training commands share: options, the first steps on the data, how a run ends.

In: a command line. Out: a validated configuration, a checked dataset, exit codes and messages.
May use: trainers.{cache, config, dataset, dataset.findings, dataset.folders, progress},
plugins.registry, service.{cli, system}.
"""
