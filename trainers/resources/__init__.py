"""The resources of a run: devices, memory, time and numerical precision.

In: options such as --time-budget and --precision, and the available devices. Out: a distribution
strategy, a dtype policy, a smaller batch size if memory runs out, and an early end of training if
time runs out.
May use: trainers.{hardware, progress}, plugins.copying, service.errors.
"""
