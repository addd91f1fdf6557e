"""Every backbone of Graft keeps every promise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from plugins.registry import families, resolve
from tests.trainers.conformance.conftest import Sound
from trainers.conformance import checking
from trainers.conformance.checking import PROMISES, check_backbone

DIFFERENT = ("efficientnet:v2-b0", "mobilenet:v3-small")
"""Networks that are built differently from the smallest of their family."""

IMAGE_SIZES = {"convnext:tiny": 32}
"""Image sizes other than 64, for backbones that would take too long: gradients of grouped
convolutions are slow. Larger variants of the family, with the same layers, are checked at 64."""

TOO_SLOW = ("nasnet:mobile",)
"""Backbones that take minutes, although they are the smallest of their family."""


def parameter_counts() -> dict[str, int]:
    """The parameter count of every backbone in plugins/."""
    return {
        f"{family}:{variant}": spec.parameters
        for family, backbone in families().items()
        if backbone.__module__.startswith("plugins.")
        for variant, spec in backbone.variants.items()
    }


def marked_names() -> Iterator[Any]:
    """All backbones, marked `slow` (the smallest of a family and a few others) or `large`."""
    smallest: dict[str, str] = {}
    counts = parameter_counts()
    for name in sorted(counts, key=counts.__getitem__):
        smallest.setdefault(name.split(":")[0], name)
    for name in counts:
        is_slow = name in (*smallest.values(), *DIFFERENT) and name not in TOO_SLOW
        yield pytest.param(name, marks=pytest.mark.slow if is_slow else pytest.mark.large)


@pytest.mark.slow
def test_a_sound_backbone_keeps_every_promise() -> None:
    results = list(check_backbone(Sound(), 32))
    assert [str(result) for result in results if not result.is_kept] == []
    assert [result.promise for result in results] == ["builds", *PROMISES]


@pytest.mark.parametrize("name", list(marked_names()))
def test_a_backbone_keeps_its_promises(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if request.node.get_closest_marker("slow"):  # test_copies.py tries more ways of copying
        other_promises = {name: promise for name, promise in PROMISES.items() if name != "copies"}
        monkeypatch.setattr(checking, "PROMISES", other_promises)
    results = list(check_backbone(resolve(name), IMAGE_SIZES.get(name)))
    assert [str(result) for result in results if not result.is_kept] == []
