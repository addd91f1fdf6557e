"""Makes a `TrainingConfig` from option values, and explains every value that cannot be used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from service.bundle import model_name
from service.cli import arguments
from trainers.config import ConfigError, TrainingConfig
from trainers.dataset.folders.filenames import escape, is_printable


def validate(values: Mapping[str, Any], message_prefix: str = "") -> TrainingConfig:
    """Make a `TrainingConfig` from option values.

    Args:
        values: the values, by option name.
        message_prefix: text before the error message, such as the name of the config file.

    Raises:
        ConfigError: option names are unknown, or values are not allowed. The message names all of
            them. But if values have unprintable characters, it names only the first such value.
    """
    for name, value in values.items():
        if isinstance(value, str) and not is_printable(value):
            flag, text = name.replace("_", "-"), escape(value)
            raise ConfigError(
                f"{message_prefix}--{flag} (={text}): the value has control characters or bytes "
                "that are not UTF-8; use a value without them"
            )
    try:
        config = TrainingConfig.model_validate(values)
    except ValidationError as error:
        problems = [_explain(problem) for problem in error.errors()]
        raise ConfigError(message_prefix + "; ".join(problems)) from None
    if config.task == "multi-label" and config.folds:
        raise ConfigError(
            f"{message_prefix}--task multi-label cannot be combined with --folds: only models that "
            "answer with one class are cross-validated; leave --folds out"
        )
    return config


def _explain(problem: Mapping[str, Any]) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else "configuration"
    if problem["type"] == "extra_forbidden":
        return arguments.unknown_option_message(name, list(TrainingConfig.model_fields))
    value, reason = problem["input"], problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "string_pattern_mismatch":
        reason = model_name.explain(value) if name == "name" else _explain_device(value)
    elif isinstance(value, bool):  # although a word is expected
        reason += "; YAML reads yes, no, on and off without quotes as true or false: add quotes"
    return f"--{name.replace('_', '-')} (={value!r}): {reason}"


def _explain_device(value: str) -> str:
    """Make a message that lists the valid devices, and suggests gpu:1 for cuda:1, for example."""
    match = re.fullmatch(r"(?:cuda|gpu)?[: ]?(\d{1,3})?", value.lower())
    number = match and match.group(1)
    name = arguments.closest_match(value, ("auto", "cpu", "gpu")) if match is None else "gpu"
    close = f"{name}:{number}" if number else name
    return "must be auto, cpu, gpu or gpu:N" + (f"; did you mean {close}?" if close else "")
