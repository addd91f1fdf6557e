from __future__ import annotations

import re

import pytest

from trainers import naming


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        *[("MyLeaves", "myleaves"), ("my leaves", "my-leaves"), ("Blätter", "blatter")],
        *[("_x_", "x"), ("leaves/2", "leaves-2"), ("a" * 70, "a" * 63)],
    ],
)
def test_a_like_name_that_may_be_one_is_offered(name: str, typed: str) -> None:
    assert naming.explain(name).endswith(f"; e.g. --name {typed}")
    assert re.fullmatch(naming.PATTERN, typed)
    assert not re.fullmatch(naming.PATTERN, name)


def test_where_no_letter_may_stay_the_rule_is_all() -> None:
    assert naming.explain("花").endswith("begins and ends with a letter or a digit")
