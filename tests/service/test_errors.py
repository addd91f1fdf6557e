from __future__ import annotations

import re

import pytest

from service import errors
from service.errors import (
    DamagedImage,
    Draining,
    GraftError,
    Overloaded,
    RequestError,
    UndecodableImage,
)

REFUSALS = RequestError.__subclasses__()


def test_tree_in_the_docstring_lists_every_refusal_with_its_status() -> None:
    listed = dict(re.findall(r"(\w+) +(\d{3})  ", errors.__doc__ or ""))
    assert listed == {
        refusal.__name__: str(refusal.status) for refusal in (*REFUSALS, DamagedImage)
    }


def test_tree_in_the_docstring_lists_every_error() -> None:
    defined = {name for name, value in vars(errors).items() if isinstance(value, type)} - {
        "ClassVar"
    }
    assert set(re.findall(r"^[│├└─ ]*(\w+)  ", errors.__doc__ or "", re.MULTILINE)) == defined


def test_codes_are_unique() -> None:
    assert len({refusal.code for refusal in REFUSALS}) == len(REFUSALS) == 16


def test_every_refusal_is_a_graft_error_with_its_message() -> None:
    assert all(issubclass(refusal, GraftError) for refusal in REFUSALS)
    assert str(UndecodableImage("cut short")) == "cut short"


@pytest.mark.parametrize("refusal", REFUSALS)
def test_only_temporary_refusals_have_retry_after(refusal: type[RequestError]) -> None:
    expected = "1" if refusal in (Overloaded, Draining) else None
    assert refusal("x").headers.get("Retry-After") == expected
