from __future__ import annotations

import re

import pytest

from service.bundle import model_name


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        *[("MyLeaves", "myleaves"), ("my leaves", "my-leaves"), ("Blätter", "blatter")],
        *[("_x_", "x"), ("leaves/2", "leaves-2"), ("a" * 70, "a" * 63)],
    ],
)
def test_a_similar_valid_name_is_suggested(name: str, suggestion: str) -> None:
    assert model_name.explain(name).endswith(f"; for example --name {suggestion}")
    assert re.fullmatch(model_name.PATTERN, suggestion)
    assert not re.fullmatch(model_name.PATTERN, name)


def test_without_a_valid_character_only_the_rule_is_explained() -> None:
    assert model_name.explain("花").endswith("begins and ends with a letter or a digit")
