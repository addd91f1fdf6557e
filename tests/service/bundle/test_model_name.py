from __future__ import annotations

import re

import pytest

from service.bundle import model_name


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        *[("MyLeaves", "myleaves"), ("my leaves", "my-leaves"), ("Blätter", "blatter")],
        *[("_x_", "x"), ("leaves/2", "leaves-2"), ("a" * 70, "a" * 63)],
    ],
)
def test_a_similar_valid_name_is_suggested(name: str, typed: str) -> None:
    assert model_name.explain(name).endswith(f"; e.g. --name {typed}")
    assert re.fullmatch(model_name.PATTERN, typed)
    assert not re.fullmatch(model_name.PATTERN, name)


def test_without_a_valid_character_only_the_rule_is_explained() -> None:
    assert model_name.explain("花").endswith("begins and ends with a letter or a digit")
