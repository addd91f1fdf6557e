"""Checks the value of --group: a file, a column of the table of labels, or an expression."""

from __future__ import annotations

import re

from trainers.config import ConfigError, is_table


def check_group(group: str | None, hint: str = "") -> None:
    """Check a value of --group that does not name a column of a table of labels.

    Args:
        hint: the end of the message.

    Raises:
        ConfigError: the value is neither the path of a CSV file nor a valid regular expression.
    """
    try:
        re.compile("" if group is None or is_table(group) else group)
    except re.error as error:
        message = f"--group (={group!r}): not a valid regular expression: {error}{hint}"
        raise ConfigError(message) from error
