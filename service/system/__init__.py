"""The operating system, as this process sees it: cores, memory, folders, locks, signals.

In: the environment. Out: numbers, paths, and context managers that clean up after themselves.
May use: service.errors.
"""
