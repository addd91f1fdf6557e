from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from service.errors import SettingError
from service.system.folders import bentoml_home, cache_folder, expand_home


def test_variables_set_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_CACHE", "/somewhere")
    assert cache_folder() == Path("/somewhere")
    monkeypatch.delenv("GRAFT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/graft")


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without HOME, without an entry in /etc/passwd, and without settings."""
    for name in ("HOME", "GRAFT_CACHE", "XDG_CACHE_HOME", "BENTOML_HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.usefixtures("homeless")
def test_without_a_home_folder_the_error_names_the_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SettingError, match=r"has no home folder.*set GRAFT_CACHE, or HOME"):
        cache_folder()
    with pytest.raises(SettingError, match=r"has no home folder.*set BENTOML_HOME, or HOME"):
        bentoml_home()
    for name in ("GRAFT_CACHE", "BENTOML_HOME"):
        monkeypatch.setenv(name, "~/here")
        with pytest.raises(
            SettingError, match=f"^~/here cannot be used, .*set {name}, or HOME, to a folder"
        ):
            cache_folder() if name == "GRAFT_CACHE" else bentoml_home()
        monkeypatch.setenv(name, "/here")
    assert (cache_folder(), bentoml_home()) == (Path("/here"), Path("/here"))


def test_a_relative_home_folder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRAFT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # ignored, as the specification requires
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_folder() == Path("/home/somebody/.cache/graft")
    monkeypatch.setenv("HOME", "here")
    with pytest.raises(SettingError, match="set GRAFT_CACHE"):
        cache_folder()


def test_a_leading_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    for name in ("GRAFT_CACHE", "BENTOML_HOME"):
        monkeypatch.setenv(name, "~/here")
    assert cache_folder() == bentoml_home() == Path("/home/somebody/here")
    monkeypatch.delenv("BENTOML_HOME")
    assert bentoml_home() == Path("/home/somebody/bentoml")
    monkeypatch.setenv("BENTOML_HOME", "")  # BentoML would take the current folder
    with pytest.raises(SettingError, match="BENTOML_HOME is empty"):
        bentoml_home()


def test_other_tildes_are_left_alone() -> None:
    assert expand_home("~nobody-of-that-name/x", "HOME") == Path("~nobody-of-that-name/x")
    assert expand_home("a/~", "HOME") == Path("a/~")
