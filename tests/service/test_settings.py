from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.errors import SettingError
from service.imaging import MAX_PIXELS
from service.settings import Settings
from service.system.variables import PREFIX


def test_defaults_need_no_variables() -> None:
    settings = Settings.from_environment({})
    assert settings.model == "classifier:latest"
    assert settings.max_image_bytes == 40 * 1024 * 1024
    assert settings.max_pixels == MAX_PIXELS


def test_each_field_is_one_variable() -> None:
    values = {
        "model": "leaves:v1",
        "top_k": 2,
        "confidence": 0.5,
        "novelty": False,
        "show_pictures": False,
        "max_image_bytes": 11,
        "max_request_bytes": 12,
        "max_upload_bytes": 19,
        "max_pixels": 13,
        "max_pictures": 14,
        "max_batch_size": 15,
        "max_queue_size": 16,
        "deadline_seconds": 0.5,
        "upload_timeout_seconds": 17.0,
        "upload_bytes_per_second": 20,
        "keep_alive_seconds": 21.0,
        "drain_seconds": 1.5,
        "threads": 18,
        "device": "cpu",
        "sessions": 3,
        "session_threads": 4,
        "api_keys": "one, two",
        "api_keys_file": "/keys/api",
        "cors_origins": "https://one.example, http://localhost:5173",
        "verify_key": "/keys/graft.pub",
        "shadow": "leaves:v2",
        "shadow_share": 0.5,
        "reload": True,
        "access_log": True,
    }
    settings = Settings.from_environment({PREFIX + k.upper(): str(v) for k, v in values.items()})
    assert settings.model_dump() == values


def test_variables_of_other_programs_are_ignored() -> None:
    kubernetes = {"GRAFT_SERVICE_HOST": "10.0.0.1", "GRAFT_PORT": "tcp://10.0.0.1:80", "TOP_K": "3"}
    other_service = {
        "GRAFT_AUTH_SERVICE_PORT_HTTP": "80",
        "GRAFT_AUTH_PORT_80_TCP_ADDR": "10.0.0.2",
    }
    cache = {"GRAFT_CACHE": "/cache"}
    assert Settings.from_environment({**kubernetes, **other_service, **cache}) == Settings()


def test_empty_variable_means_the_default() -> None:
    assert Settings.from_environment({"GRAFT_TOP_K": ""}).top_k == 5


def test_environment_of_the_process_is_read_at_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_TOP_K", "4")
    assert Settings.from_environment().top_k == 4


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("GRAFT_TOP_K", "many", "valid integer"),
        ("GRAFT_TOP_K", "0", "greater than or equal to 1"),
        ("GRAFT_MAX_PIXELS", "-5", "greater than or equal to 1"),
        ("GRAFT_DEADLINE_SECONDS", "0", "greater than 0"),
        ("GRAFT_DEADLINE_SECONDS", "nan", "less than or equal to 30"),
        ("GRAFT_DEADLINE_SECONDS", "31", "less than or equal to 30"),
        ("GRAFT_UPLOAD_TIMEOUT_SECONDS", "inf", "less than or equal to 30"),
        ("GRAFT_DRAIN_SECONDS", "-1", "greater than or equal to 0"),
        ("GRAFT_THREADS", "2.5", "valid integer"),
    ],
)
def test_unusable_value_is_named_with_its_variable(variable: str, value: str, reason: str) -> None:
    with pytest.raises(SettingError) as caught:
        Settings.from_environment({variable: value})
    assert f"{variable} (={value!r})" in str(caught.value)
    assert reason in str(caught.value)


def test_all_unusable_values_are_reported_together() -> None:
    with pytest.raises(SettingError, match=r"GRAFT_TOP_K .*; GRAFT_MAX_PIXELS "):
        Settings.from_environment({"GRAFT_TOP_K": "a", "GRAFT_MAX_PIXELS": "b"})


def test_largest_request_must_fit_into_the_queue() -> None:
    with pytest.raises(SettingError) as caught:
        Settings.from_environment({"GRAFT_MAX_PICTURES": "9", "GRAFT_MAX_QUEUE_SIZE": "8"})
    assert str(caught.value) == (
        "GRAFT_MAX_PICTURES (=9) must not be above GRAFT_MAX_QUEUE_SIZE (=8): "
        "a request with that many pictures would always be refused"
    )


def test_largest_request_must_fit_into_the_upload_quota() -> None:
    with pytest.raises(SettingError) as caught:
        Settings.from_environment({"GRAFT_MAX_UPLOAD_BYTES": "999"})
    assert str(caught.value) == (
        "GRAFT_MAX_REQUEST_BYTES (=67108864) must not be above GRAFT_MAX_UPLOAD_BYTES (=999): "
        "a request of that size would always be refused"
    )


def test_settings_do_not_change_once_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().top_k = 3  # type: ignore[misc]


def test_threads_of_the_setting_are_used() -> None:
    assert Settings(threads=7).usable_threads() == 7


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (" ,\n", "no key; add a key"),
        ("a, schlüssel", "a character outside"),
        ("schl\nssel", "a control character"),
    ],
)
def test_unusable_keys_are_refused_and_not_shown(keys: str, reason: str) -> None:
    with pytest.raises(SettingError, match=f"^GRAFT_API_KEYS: contains.*{reason}") as refusal:
        Settings.from_environment({"GRAFT_API_KEYS": keys})
    assert "schl" not in str(refusal.value)


def test_keys_are_separated_by_commas_and_not_shown() -> None:
    settings = Settings(api_keys="one, two words ,,three")
    assert settings.keys() == ["one", "two words", "three"]
    assert "one" not in repr(settings)
    assert settings.requires_keys
    assert Settings().keys() == []
    assert not Settings().requires_keys


def test_keys_of_variable_and_file_are_accepted_together(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("of the file\nanother, with a comma\n")
    settings = Settings(api_keys="one", api_keys_file=str(file))
    assert settings.keys() == ["one", "of the file", "another, with a comma"]
    assert Settings(api_keys_file=str(file)).requires_keys


@pytest.mark.parametrize(
    "origin",
    ["app.example", "https://app.example/", "https://app.example/page", "https://*.example"],
)
def test_invalid_origins_are_refused(origin: str) -> None:
    with pytest.raises(SettingError, match=r"^GRAFT_CORS_ORIGINS .* is not an origin") as refusal:
        Settings.from_environment({"GRAFT_CORS_ORIGINS": f"https://one.example, {origin}"})
    assert f": {origin!r} is not an origin" in str(refusal.value)


def test_origins_are_separated_by_commas() -> None:
    assert Settings(cors_origins="*").origins() == ["*"]
    settings = Settings(cors_origins="https://one.example:8443, capacitor://localhost,null")
    assert settings.origins() == ["https://one.example:8443", "capacitor://localhost", "null"]
    assert Settings().origins() == []
