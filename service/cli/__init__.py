"""What all commands share: the parser of their options, progress with ETA, suggested commands.

In: arguments, counts, durations. Out: parsed options, clear errors, lines for a terminal.
May use: service.errors.
"""
