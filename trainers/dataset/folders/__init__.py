"""Reads a folder or an archive: lists its files, and finds out which folders are the classes.

In: a path. Out: files with the class and the split that their folders name, or a `DataError`.
May use: trainers.progress, service.{cli, errors, imaging, system}.
"""
