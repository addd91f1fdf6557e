"""How a model is served: a bundle is read, pictures are decoded, batched and answered over HTTP.

`from service import load` gives the same model to a Python program; `__init__.pyi` has its type.
"""

from importlib import import_module


def __getattr__(name: str) -> object:
    # Import by a string: trainers.cache.code_identity follows import statements, and one here
    # would make every change of the service recompute all cached features.
    if name == "load":
        return import_module("service.scoring.loading").load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
