"""Serve a model: read a bundle, decode pictures, classify them, and respond over HTTP.

With `from service import load`, a Python program can use a model without HTTP. The type of `load`
is declared in `__init__.pyi`.
"""

from importlib import import_module


def __getattr__(name: str) -> object:
    # Import by name: trainers.cache.code_identity follows import statements. With an import
    # statement here, every change of the service would invalidate all cached features.
    if name == "load":
        return import_module("service.scoring.loading").load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
