"""What a process uses of the operating system: cores, memory, folders, locks, signals.

In: the environment. Out: numbers, paths, and context managers that clean up after themselves.
May use: service.errors.
"""
