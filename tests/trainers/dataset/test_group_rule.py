from __future__ import annotations

import pytest

from trainers.config import ConfigError
from trainers.dataset.group_rule import check_group


def test_a_group_is_a_regular_expression_or_a_table() -> None:
    message = r"^--group \(='clip\('\): not a valid regular expression: .*, and no column$"
    with pytest.raises(ConfigError, match=message):
        check_group("clip(", ", and no column")
    for group in (None, r"clip\d+", "(.csv"):  # the last one is the name of a table
        check_group(group)
