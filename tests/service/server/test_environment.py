from __future__ import annotations

from pathlib import Path

import pytest

from service.bundle.reading import Bundle
from service.errors import SettingError
from service.server import environment
from service.server.environment import make_paths_absolute, require_home


@pytest.fixture
def folder(tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of the caller, with a link to a bundle."""
    (tmp_path / "link").symlink_to(tiny_bundle.path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_relative_bundle_becomes_absolute_and_its_link_is_kept(folder: Path) -> None:
    variables = {"GRAFT_MODEL": "./link"}
    make_paths_absolute(variables)
    assert variables == {"GRAFT_MODEL": f"{folder}/link"}


@pytest.mark.parametrize("model", ["classifier:latest", "nothing", "/nothing", "n" * 300])
def test_a_value_that_is_not_a_bundle_folder_is_kept(folder: Path, model: str) -> None:
    variables = {"GRAFT_MODEL": model}
    make_paths_absolute(variables)
    assert variables == {"GRAFT_MODEL": model}


def test_a_relative_challenger_becomes_absolute(folder: Path) -> None:
    variables = {"GRAFT_MODEL": "classifier:latest", "GRAFT_SHADOW": "link"}
    make_paths_absolute(variables)
    assert variables == {"GRAFT_MODEL": "classifier:latest", "GRAFT_SHADOW": f"{folder}/link"}


def test_other_relative_paths_become_absolute(folder: Path) -> None:
    variables = {
        **{"GRAFT_VERIFY_KEY": "key.pub", "GRAFT_CACHE": "cache", "BENTOML_HOME": "../home"},
        **{"BENTOML_CONFIG": "/etc/bentoml.yaml", "GRAFT_API_KEYS_FILE": "", "PATH": "bin"},
    }
    make_paths_absolute(variables)
    assert variables == {
        **{"GRAFT_VERIFY_KEY": f"{folder}/key.pub", "GRAFT_CACHE": f"{folder}/cache"},
        "BENTOML_HOME": f"{folder}/../home",
        **{"BENTOML_CONFIG": "/etc/bentoml.yaml", "GRAFT_API_KEYS_FILE": "", "PATH": "bin"},
    }


def test_without_a_home_folder_nothing_is_left_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a user without a home folder, BentoML creates a folder called ~."""

    def bentoml_home() -> Path:
        raise SettingError("no home folder: set BENTOML_HOME")

    monkeypatch.setattr(environment, "bentoml_home", bentoml_home)
    for name in ("models", "bentos"):
        (folder / "~/bentoml" / name).mkdir(parents=True)
    with pytest.raises(SettingError, match="set BENTOML_HOME"):
        require_home()
    assert not (folder / "~").exists()
    (folder / "~/bentoml/models/mine").mkdir(parents=True)
    with pytest.raises(SettingError):
        require_home()
    assert (folder / "~/bentoml/models/mine").is_dir()


def test_a_leading_tilde_is_kept(folder: Path) -> None:
    variables = {"GRAFT_CACHE": "~/cache"}
    make_paths_absolute(variables)
    assert variables == {"GRAFT_CACHE": "~/cache"}
