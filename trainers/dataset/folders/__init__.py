"""What lies in a folder or an archive, and which part of a path is the class.

In: a path. Out: files with the classes and splits that their folders name, or a `DataError`.
May use: trainers.progress, service.{errors, system, imaging, cli}.
"""
