"""Code that the commands share: option parsing, progress lines, messages, commands to suggest.

In: arguments, counts, durations. Out: parsed options, clear errors, lines for a terminal.
May use: service.errors.
"""
