"""Finding backbones by name: `register` lets them in, `resolve` hands them out.

Graft's own families and those of other packages enter by the same door: a module that applies
`@register` to a Backbone. The modules of plugins/families are found by their place, others by an
entry point in the group `graft.backbones` that names their module.
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

FAMILIES = "plugins.families"
ENTRY_POINT_GROUP = "graft.backbones"
_CLOSE = 0.7
"""Similarity from which a name is offered, 0 to 1 as `difflib` counts."""

_registered: dict[str, type[Backbone]] = {}


def register(backbone: type[Backbone]) -> type[Backbone]:
    """Class decorator: make a backbone family known under its `family` name.

    Raises:
        BackboneError: the family has no variants, its default is not one of them, or another
            class already has its name.
    """
    family = backbone.family
    if backbone.default_variant not in backbone.variants:
        raise BackboneError(
            f"backbone `{family}`: default_variant `{backbone.default_variant}` is not among its "
            f"variants ({', '.join(backbone.variants) or 'none'})"
        )
    taken = _registered.get(family)
    if taken and (taken.__module__, taken.__qualname__) != (
        backbone.__module__,
        backbone.__qualname__,
    ):
        raise BackboneError(
            f"backbone `{family}` of {backbone.__module__} is already registered by "
            f"{taken.__module__}; choose another name"
        )
    _registered[family] = backbone
    return backbone


def families() -> dict[str, type[Backbone]]:
    """Every known family by name, in alphabetical order."""
    _discover()
    return dict(sorted(_registered.items()))


def names() -> Iterator[str]:
    """Every name that `resolve` takes in full: `family:variant`."""
    for family, backbone in families().items():
        yield from (f"{family}:{variant}" for variant in backbone.variants)


def table() -> str:
    """All backbones as lines of text: name, parameters, input size, * for a family's default."""
    lines = [f"{'plugin':<24}{'parameters':>12}{'image size':>12}"]
    for family, backbone in families().items():
        for variant, spec in backbone.variants.items():
            mark = " *" if variant == backbone.default_variant else ""
            name = f"{family}:{variant}"
            lines.append(f"{name:<24}{spec.parameters:>12,}{spec.image_size:>12}{mark}")
    return "\n".join([*lines, "* = what the family's name alone means", ""])


def resolve(name: str) -> Backbone:
    """The backbone called `family` (its default variant) or `family:variant`.

    Raises:
        BackboneError: there is none; the message lists all names and the closest one.
    """
    known = families()
    family, _, variant = name.partition(":")
    if family not in known:
        raise BackboneError(_unknown(name, list(known)))
    variants = known[family].variants
    if variant and variant not in variants:
        raise BackboneError(_unknown(name, [f"{family}:{one}" for one in variants]))
    return known[family](variant or None)


@cache
def _discover() -> None:
    package = importlib.import_module(FAMILIES)  # by name: its modules import this one
    for module in pkgutil.iter_modules(package.__path__, f"{FAMILIES}."):
        importlib.import_module(module.name)
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            entry_point.load()
        except Exception as error:  # a stranger's package must not take ours down
            warnings.warn(
                f"backbone plugin `{entry_point.name}` ({entry_point.value}) cannot be loaded: "
                f"{type(error).__name__}: {error}",
                stacklevel=2,
            )


def _unknown(name: str, known: list[str]) -> str:
    close = closest(name)
    hint = f" Did you mean `{close}`?" if close else ""
    return f"no backbone `{name}`.{hint} There are: {', '.join(known)}"


def closest(name: str) -> str | None:
    """What `resolve` takes in place of a name from elsewhere: `resnet:50` for `ResNet50`.

    Capitals and signs between do not count; what Keras calls a network is known as well.
    """
    spelled: dict[str, str] = {}
    for family, backbone in families().items():
        for variant, spec in backbone.variants.items():
            spelled[_letters(family + variant)] = f"{family}:{variant}"
            spelled[_letters(family + variant.removesuffix("-1.0"))] = f"{family}:{variant}"
            is_usual = variant == backbone.default_variant or not spec.arguments
            if spec.application and is_usual:
                spelled[_letters(spec.application)] = f"{family}:{variant}"
        spelled[_letters(family)] = family
    letters = _letters(re.sub(r".*\.(?=[A-Za-z])", "", name))  # keras.applications.ResNet50
    begun = [one for one in spelled if letters and one.startswith(letters)]
    close = begun or difflib.get_close_matches(letters, spelled, 1, _CLOSE)
    return spelled[min(close, key=len)] if close else None


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())
