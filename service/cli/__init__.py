"""What every command of this repository shares: its parser, its progress line, its next steps.

In: arguments and counts. Out: parsed options, clear errors, lines for a terminal.
May use: service.errors.
"""
