"""Finds backbones by name: `register` adds a family, `resolve` returns a backbone.

Graft's own families and those of other packages are added in the same way: with the decorator
`@register` on a subclass of Backbone. The registry imports all modules of plugins/families, and all
modules that other packages name in entry points of the group `graft.backbones`.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
import warnings
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points

from plugins.base import Backbone, BackboneError
from plugins.weights import set_keras_environment

FAMILIES = "plugins.families"
ENTRY_POINT_GROUP = "graft.backbones"
_MIN_SIMILARITY = 0.7
"""A name is suggested only if it is at least this similar (0 to 1, as measured by `difflib`)."""

_registered: dict[str, type[Backbone]] = {}


def register(backbone: type[Backbone]) -> type[Backbone]:
    """Register a backbone family under its `family` name. Use it as a class decorator.

    Raises:
        BackboneError: the default variant is not among the variants, or another class is already
            registered under the name.
    """
    family = backbone.family
    if backbone.default_variant not in backbone.variants:
        raise BackboneError(
            f"backbone `{family}`: default_variant `{backbone.default_variant}` is not among its "
            f"variants ({', '.join(backbone.variants) or 'it has no variants'}): correct one of "
            "these two class attributes"
        )
    known = _registered.get(family)
    if known and (known.__module__, known.__qualname__) != (
        backbone.__module__,
        backbone.__qualname__,
    ):
        raise BackboneError(
            f"the backbone family `{family}` is already registered by {known.__module__}: give the "
            f"attribute `family` in {backbone.__module__} another value"
        )
    _registered[family] = backbone
    return backbone


def families() -> dict[str, type[Backbone]]:
    """Return all families by name, in alphabetical order."""
    _discover()
    return dict(sorted(_registered.items()))


def full_names() -> Iterator[str]:
    """Yield the full name of every backbone: `family:variant`."""
    for family, backbone in families().items():
        yield from (f"{family}:{variant}" for variant in backbone.variants)


def format_table() -> str:
    """Format all backbones as a table of names, numbers of parameters and input sizes.

    An asterisk marks the default variant of each family. For families whose package is missing,
    the text says how to install it.
    """
    width = max(map(len, full_names())) + 2
    lines = [f"{'plugin':<{width}}{'parameters':>12}{'image size':>12}"]
    for family, backbone in families().items():
        for variant, spec in backbone.variants.items():
            mark = " *" if variant == backbone.default_variant else ""
            name = f"{family}:{variant}"
            lines.append(f"{name:<{width}}{spec.parameters:>12,}{spec.image_size:>12}{mark}")
    lines.append("* = default variant of the family")
    for family, backbone in families().items():
        if missing := backbone.missing_package():
            lines.append(f"{family} cannot be used yet: {missing}")
    return "\n".join([*lines, ""])


def resolve(name: str) -> Backbone:
    """Return the backbone with the name `family:variant`, or the default variant of `family`.

    Raises:
        BackboneError: there is no such backbone. The message lists the families, or the variants
            if the family exists, and suggests the most similar name.
    """
    known = families()
    family, _, variant = name.partition(":")
    if family not in known:
        raise BackboneError(_unknown_name(name, list(known)))
    variants = known[family].variants
    if variant and variant not in variants:
        raise BackboneError(_unknown_name(name, [f"{family}:{other}" for other in variants]))
    return known[family](variant or None)


@cache
def _discover() -> None:
    package = importlib.import_module(FAMILIES)  # imported late, because it imports this module
    for module in pkgutil.iter_modules(package.__path__, f"{FAMILIES}."):
        importlib.import_module(module.name)
    set_keras_environment()  # a package of somebody else may import Keras
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            entry_point.load()
        except Exception as error:  # a broken package must not stop Graft
            warnings.warn(
                f"backbone plugin `{entry_point.name}` ({entry_point.value}) cannot be loaded; "
                f"its backbones are not available: {type(error).__name__}: {error}; update or "
                "uninstall the package that contains it",
                stacklevel=2,
            )


def _unknown_name(name: str, known: list[str]) -> str:
    suggestion = suggest_name(name)
    hint = f" Did you mean `{suggestion}`?" if suggestion else ""
    return f"there is no backbone `{name}`.{hint} Available: {', '.join(known)}"


def suggest_name(name: str) -> str | None:
    """Suggest the backbone or family with the most similar name: `resnet:50` for `ResNet50`.

    Capitals and punctuation are ignored. The names of the networks in Keras are recognised, too.

    Returns:
        `family:variant` or `family`; None if no name is similar enough.
    """
    spellings: dict[str, str] = {}
    for family, backbone in families().items():
        for variant, spec in backbone.variants.items():
            spellings[_normalise(family + variant)] = f"{family}:{variant}"
            spellings[_normalise(family + variant.removesuffix("-1.0"))] = f"{family}:{variant}"
            is_unmodified = variant == backbone.default_variant or not spec.arguments
            if spec.application and is_unmodified:
                spellings[_normalise(spec.application)] = f"{family}:{variant}"
        spellings[_normalise(family)] = family
    normalised = _normalise(re.sub(r".*\.(?=[A-Za-z])", "", name))  # keras.applications.ResNet50
    longer = [spelling for spelling in spellings if normalised and spelling.startswith(normalised)]
    matches = longer or difflib.get_close_matches(normalised, spellings, 1, _MIN_SIMILARITY)
    return spellings[min(matches, key=len)] if matches else None


def _normalise(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())
