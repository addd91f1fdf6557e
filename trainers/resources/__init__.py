"""The resources of a run: devices, memory, time and numerical precision.

In: limits, and work that may exceed them. Out: smaller batches, an early end, 16-bit numbers.
May use: trainers.{hardware, progress}, plugins.copying, service.errors.
"""
