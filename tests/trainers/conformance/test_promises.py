"""Every backbone of ours keeps every promise that `python -m trainers.conformance` tries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from plugins.registry import families, resolve
from trainers.conformance.__main__ import PROMISES, check

ALSO = ("efficientnet:v2-b0", "mobilenet:v3-small")
"""Built differently from the smallest network of their family."""

SMALLER = {"convnext:tiny": 32}
"""Sides in pixels, in place of 64: its cost is the gradients of grouped convolutions, by the pixel.
Larger variants of the family, of the same layers, are tried at 64."""

TOO_SLOW = ("nasnet:mobile",)
"""The smallest of their family, and a minute or two even so: a thousand small layers."""


def ours() -> dict[str, int]:
    """Every backbone of this package, with its number of weights."""
    return {
        f"{family}:{variant}": spec.parameters
        for family, backbone in families().items()
        if backbone.__module__.startswith("plugins.")
        for variant, spec in backbone.variants.items()
    }


def marked() -> Iterator[Any]:
    """The smallest of most families and some others as `slow`, all others as `large`."""
    smallest: dict[str, str] = {}
    for name in sorted(ours(), key=ours().__getitem__):
        smallest.setdefault(name.split(":")[0], name)
    for name in ours():
        is_usual = name in (*smallest.values(), *ALSO) and name not in TOO_SLOW
        yield pytest.param(name, marks=pytest.mark.slow if is_usual else pytest.mark.large)


@pytest.mark.parametrize("name", list(marked()))
def test_a_backbone_keeps_its_promises(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if request.node.get_closest_marker("slow"):  # tests/test_copies.py tries more ways of copying
        monkeypatch.delitem(PROMISES, "copies")
    findings = list(check(resolve(name), SMALLER.get(name)))
    assert [str(one) for one in findings if not one.is_kept] == []
