"""What decides a result besides its inputs: the code that makes it, found along its imports."""

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
    """A hash of modules and of everything that they import, in functions, too.

    Modules of the same distributions, and those that belong to none, count by their source, others
    by the version of their distribution. What is imported by a name that is only known when the
    code runs is not found.
    """
    owners = _distributions()
    own = {owner for name in modules for owner in owners.get(_root(name), ())}
    waiting, parts = list(modules), {}
    while waiting:
        name = waiting.pop()
        root, _, _ = name.partition(".")
        if name in parts or root in sys.stdlib_module_names:
            continue
        parts[name] = ""  # and so it stays for what is no module, but a function of one
        theirs = set(owners.get(root, ()))
        if theirs and not theirs & own:
            parts[name] = " ".join(f"{owner} {version(owner)}" for owner in sorted(theirs))
        elif path := _file(name):
            content = path.read_bytes()
            parts[name] = hashlib.sha256(content).hexdigest()
            waiting.append(name.rpartition(".")[0] or name)  # a package runs before its modules
            if path.suffix == ".py":
                waiting += _imports(content, name, is_package=path.stem == "__init__")
    lines = sorted(f"{name} {part}" for name, part in parts.items() if part)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _root(name: str) -> str:
    return name.partition(".")[0]


_distributions = cache(packages_distributions)  # which reads the metadata of all of them


def _file(name: str) -> Path | None:
    """The file of a module, found without importing it; None where there is none."""
    if loaded := getattr(sys.modules.get(name), "__file__", None):
        return Path(loaded) if Path(loaded).is_file() else None
    root, *rest = name.split(".")
    spec = None if root in {"", "__main__"} else importlib.util.find_spec(root)
    if spec is None:
        return None
    folders = spec.submodule_search_locations or ()
    files = [Path(spec.origin)] if spec.origin and not rest else []
    for place in (Path(folder, *rest) for folder in folders):
        files += [place / "__init__.py", place.with_suffix(".py")]
    return next((path for path in files if path.is_file()), None)


def _imports(source: bytes, name: str, is_package: bool) -> Iterator[str]:
    """What a module may import: `from a import b` names a.b, which may be a module, too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:  # counted from the package that the module lies in, or is
                parents = [*name.split("."), *([""] if is_package else [])][: -node.level]
                module = ".".join([*parents, *filter(None, [module])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
