"""Environment variables that are settings, or probably meant to be settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from service.errors import SettingError

PREFIX: Final = "GRAFT_"
_MIN_SIMILARITY: Final = 0.9
"""An unknown name is a misspelt setting if `difflib` rates the similarity at least this high."""
_SECRET: Final = re.compile(r"KEY|TOKEN|AUTH|SECRET|PASS|PWD|CRED|BEARER|LOGIN|JWT|VERIFY")
"""An unknown GRAFT* variable with such a word in its name is refused: it may be meant as a key."""
_KUBERNETES: Final = re.compile(
    r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$"
)
"""Variables with these endings are ignored: Kubernetes sets them, e.g. GRAFT_AUTH_SERVICE_HOST."""

Model = TypeVar("Model", bound=BaseModel)


def read_fields(model: type[Model], environment: Mapping[str, str]) -> Model:
    """Read the fields of a model from the variables `GRAFT_<FIELD>`; empty ones count as not set.

    Raises:
        SettingError: a value is invalid, or the name of another variable is refused.
    """
    names = {field: PREFIX + field.upper() for field in model.model_fields}
    for name in sorted(environment.keys() - set(names.values())):
        refuse_typing_error(name, [*names.values()])
    values = {field: environment[name] for field, name in names.items() if environment.get(name)}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [_explain(model, problem) for problem in error.errors()]
        raise SettingError("; ".join(problems)) from None


def _explain(model: type[BaseModel], problem: Mapping[str, object]) -> str:
    location, message = problem["loc"], str(problem["msg"]).removeprefix("Value error, ")
    if not (isinstance(location, tuple) and location):
        return message
    field = str(location[0])
    value = f" (={problem['input']!r})" if model.model_fields[field].repr else ""
    return f"{PREFIX}{field.upper()}{value}: {message}"


def refuse_typing_error(name: str, names: Sequence[str]) -> None:
    """Raise SettingError if the unknown variable `name` is probably meant to be a setting.

    Args:
        names: the variables of all settings.
    """
    upper = name.upper()
    if not upper.startswith(PREFIX.rstrip("_")) or _KUBERNETES.search(upper):
        return
    matches = get_close_matches(upper, names, 1, _MIN_SIMILARITY)
    if not matches and _SECRET.search(upper):
        matches = [f"{PREFIX}API_KEYS"]
    if matches:
        raise SettingError(
            f"{name} is not a setting; did you mean {matches[0]}? Rename the variable, or unset it"
        )
