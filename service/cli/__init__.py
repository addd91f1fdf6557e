"""Code that the commands share: a parser of options, progress, messages, suggested command lines.

In: arguments, counts, durations. Out: parsed options, clear errors, lines for a terminal.
May use: service.errors.
"""
