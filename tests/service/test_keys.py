from __future__ import annotations

import pytest

from service.errors import Unauthorized
from service.keys import Keys

KEYS = Keys(["first-key", "second-key"])


def test_without_keys_everybody_may_ask() -> None:
    Keys([]).check({})


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer first-key"},
        {"authorization": "bearer first-key"},
        {"x-api-key": "first-key"},
        {"x-api-key": "second-key"},
    ],
)
def test_a_known_key_may_ask(headers: dict[str, str]) -> None:
    KEYS.check(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer first-key2"},
        {"authorization": "Basic first-key"},
        {"authorization": "first-key"},
        {"x-api-key": ""},
        {"x-api-key": "FIRST-KEY"},
        {"x-api-key": "first-key,second-key"},
        {"x-api-key": "\ud800"},
    ],
)
def test_anybody_else_is_told_how_and_nothing_more(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthorized, match="asks for a key") as refused:
        KEYS.check(headers)
    assert refused.value.headers == {"WWW-Authenticate": "Bearer"}
    assert "first" not in str(refused.value)
