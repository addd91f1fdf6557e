"""Hashes the code of modules and of everything that they import.

The names of record stores depend on this hash, so results of older code are not used.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path


@cache
def identity(*modules: str) -> str:
    """Hash `modules` and everything that they import, including imports inside functions.

    The hash covers the source code of modules that belong to no distribution (installed package),
    or to the same distribution as one of `modules`. Of other distributions, it covers only the
    versions. It does not cover the standard library, or imports whose names are computed at run
    time.
    """
    owners = _distributions()  # of each top-level module
    own = {owner for name in modules for owner in owners.get(_root(name), ())}
    queue, hashes = list(modules), {}
    while queue:
        name = queue.pop()
        root, _, _ = name.partition(".")
        if name in hashes or root in sys.stdlib_module_names:
            continue
        hashes[name] = ""  # stays empty for a name that is not a module but, say, a function
        distributions = set(owners.get(root, ()))
        if distributions and not distributions & own:
            hashes[name] = " ".join(f"{owner} {version(owner)}" for owner in sorted(distributions))
        elif path := _file(name):
            content = path.read_bytes()
            hashes[name] = hashlib.sha256(content).hexdigest()
            queue.append(name.rpartition(".")[0] or name)  # an import runs the package first
            if path.suffix == ".py":
                queue += _imports(content, name, is_package=path.stem == "__init__")
    lines = sorted(f"{name} {value}" for name, value in hashes.items() if value)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _root(name: str) -> str:
    return name.partition(".")[0]


_distributions = cache(packages_distributions)  # slow: it reads the metadata of every package


def _file(name: str) -> Path | None:
    """Find the file of a module without importing the module; return None if it has no file."""
    if loaded := getattr(sys.modules.get(name), "__file__", None):
        return Path(loaded) if Path(loaded).is_file() else None
    root, *rest = name.split(".")
    spec = None if root in {"", "__main__"} else importlib.util.find_spec(root)
    if spec is None:
        return None
    folders = spec.submodule_search_locations or ()
    files = [Path(spec.origin)] if spec.origin and not rest else []
    for path in (Path(folder, *rest) for folder in folders):
        files += [path / "__init__.py", path.with_suffix(".py")]
    return next((path for path in files if path.is_file()), None)


def _imports(source: bytes, name: str, is_package: bool) -> Iterator[str]:
    """Yield the names of modules that may be imported: `from a import b` yields a and a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:  # a relative import, from the package of the module
                parents = [*name.split("."), *([""] if is_package else [])][: -node.level]
                module = ".".join([*parents, *filter(None, [module])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
