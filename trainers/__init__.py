"""Makes models: a folder of pictures becomes a bundle, with an exported and measured model.

First, `run` lists the files of the folder with `dataset.scanning.scan`. Next, `cli.preparation`
inspects the pictures, assigns them to sources (such as videos or patients), checks them and splits
them. Then `phases` trains the model. Finally, `exporting` exports it, measures it and writes the
bundle.

From Python, the function `train` (`from trainers import train`) does the same as the command
`python -m trainers.run`. The file `__init__.pyi` declares the type of `train`.
"""

from importlib import import_module


def __getattr__(name: str) -> object:
    # Not an import statement: trainers.cache.code_identity follows import statements, so with one
    # here every change of the trainer would make all cached features invalid.
    if name == "train":
        return import_module("trainers.run").train
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
