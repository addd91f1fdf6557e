"""Code that all commands share: a parser of options, progress with the time left, command lines.

In: arguments, counts, durations. Out: parsed options, clear errors, lines for a terminal.
May use: service.errors.
"""
