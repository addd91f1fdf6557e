"""What a run may use, and what happens when it runs out: memory, time, precision.

In: limits. Out: work that fits into them: halved batches, an early end, 16-bit numbers.
May use: trainers.{hardware, progress}, plugins.copying, service.errors.
"""
