"""Every backbone of Graft keeps every promise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from plugins.registry import families, resolve
from tests.trainers.conformance.conftest import Sound, smallest_mark
from trainers.conformance import checking
from trainers.conformance.checking import PROMISES, check_backbone

EXCEPTIONS = {
    "mobilenet:v3-small": pytest.mark.slow,  # built differently from the other MobileNets
    "efficientnet:v2-b0": pytest.mark.family,  # built differently from the other EfficientNets
    "kerashub:dinov2-small": pytest.mark.family,  # a transformer; the smallest one is not
    "efficientnet:b0": pytest.mark.family,  # slow; `make test` checks its copies in test_copies.py
}
"""Backbones with another mark than the smallest or the larger ones of a family have."""

IMAGE_SIZES = {"convnext:tiny": 32}
"""Image sizes other than 64, for backbones that would take too long: gradients of grouped
convolutions are slow. Larger variants of the family, with the same layers, are checked at 64."""


def parameter_counts() -> dict[str, int]:
    """The parameter count of every backbone in plugins/."""
    return {
        f"{family}:{variant}": spec.parameters
        for family, backbone in families().items()
        if backbone.__module__.startswith("plugins.")
        for variant, spec in backbone.variants.items()
    }


def marked_names() -> Iterator[Any]:
    """All backbones, marked `large` except for the smallest of each family and EXCEPTIONS."""
    marks: dict[str, pytest.MarkDecorator] = {}
    counts = parameter_counts()
    families_seen = set()
    for name in sorted(counts, key=counts.__getitem__):
        family = name.split(":")[0]
        if family not in families_seen:
            marks[name] = smallest_mark(family)
        families_seen.add(family)
    for name in counts:
        mark = EXCEPTIONS.get(name) or marks.get(name, pytest.mark.large)
        yield pytest.param(name, marks=mark)


@pytest.mark.slow
def test_a_sound_backbone_keeps_every_promise() -> None:
    results = list(check_backbone(Sound(), 32))
    assert [str(result) for result in results if not result.is_kept] == []
    assert [result.promise for result in results] == ["builds", *PROMISES]


@pytest.mark.parametrize("name", list(marked_names()))
def test_a_backbone_keeps_its_promises(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not request.node.get_closest_marker("large"):  # test_copies.py tries more ways of copying
        other_promises = {name: promise for name, promise in PROMISES.items() if name != "copies"}
        monkeypatch.setattr(checking, "PROMISES", other_promises)
    results = list(check_backbone(resolve(name), IMAGE_SIZES.get(name)))
    assert [str(result) for result in results if not result.is_kept] == []
