"""Access to the operating system: cores, memory, folders, locks and signals.

In: the environment. Out: numbers, paths, and context managers that clean up after themselves.
May use: service.errors.
"""
