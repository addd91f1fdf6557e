"""Reads a folder or an archive: which files it holds, and which part of a path is the class.

In: a path. Out: files with the class and the split that their folders name, or a `DataError`.
May use: trainers.progress, service.{cli, errors, imaging, system}.
"""
