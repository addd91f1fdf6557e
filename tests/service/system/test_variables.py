"""Names of variables that are refused, because they are probably meant to be settings."""

from __future__ import annotations

import pytest

from service.errors import SettingError
from service.settings import Settings


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [("GRAFT_APIKEYS", "GRAFT_API_KEYS"), ("GRAFT_MAX_PICTURE", "MAX_PICTURES")],
)
def test_a_typing_error_is_refused(name: str, suggestion: str) -> None:
    with pytest.raises(
        SettingError, match=f"^{name} is not a setting; did you mean .*{suggestion}"
    ):
        Settings.from_environment({name: "1"})


@pytest.mark.parametrize(
    "name",
    [
        *("GRAFT_KEYS", "GRAFT_API_KEY", "GRAFT_API_KEYFILE", "GRAFT_API_KEYS_FILES"),
        *("GRAFT_TOKEN", "GRAFT_AUTH", "GRAFT_PASSWORD", "GRAFT_BEARER_TOKENS", "GRAFT_SECRET"),
        *("GRAFT_CREDS", "GRAFT_JWT", "GRAFT_VERIFY"),
        *("graft_api_keys", "Graft_Api_Keys", "GRAFTAPI_KEYS"),
    ],
)
def test_names_that_sound_like_a_key_are_refused(name: str) -> None:
    for value in ("x", ""):
        with pytest.raises(
            SettingError, match=f"^{name} is not a setting; did you mean GRAFT_API_KEYS"
        ):
            Settings.from_environment({name: value})
