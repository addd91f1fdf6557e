"""Makes models: a folder of pictures becomes a bundle, with an exported and measured model.

`from trainers import train` does the same as the command `python -m trainers.run`; `__init__.pyi`
declares its type.
"""

from importlib import import_module


def __getattr__(name: str) -> object:
    # Not an import statement: trainers.cache.code_identity follows those, so with one here every
    # change of the trainer would make all cached features invalid.
    if name == "train":
        return import_module("trainers.run").train
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
