"""What a run may use, and what happens when that runs out: devices, memory, time, precision.

In: limits, and work that may exceed them. Out: smaller batches, an early end, 16-bit numbers.
May use: trainers.{hardware, progress}, plugins.copying, service.errors.
"""
