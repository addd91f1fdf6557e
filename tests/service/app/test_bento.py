"""bentofile.yaml: a built bento contains the service and serves the model it was built with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.bundle.sealing import seal

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A BENTOML_HOME for this test alone."""
    return tmp_path / "home"


def run_python(home: Path, *arguments: str, folder: Path = ROOT) -> None:
    environment = {**os.environ, "BENTOML_HOME": str(home)}
    completed = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr


@pytest.fixture
def save_as(home: Path, tiny_bundle: Bundle, manifest: Manifest, tmp_path: Path) -> Any:
    """Save the tiny bundle under another name in the store; returns its version."""

    def save_as(name: str, created: str) -> str:
        staging = Path(shutil.copytree(tiny_bundle.path, tmp_path / created))
        (staging / "manifest.json").unlink()
        update = {"name": name, "created": created}
        bundle = seal(staging, manifest.model_copy(update=update), tmp_path)
        save = "import sys, pathlib, service.bundle.store as s, service.bundle.reading as b; "
        save += "s.save(b.Bundle.read(pathlib.Path(sys.argv[1])))"
        run_python(home, "-c", save, str(bundle.path))
        return bundle.manifest.version

    return save_as


def test_a_bento_serves_its_own_model_without_training_code(
    home: Path, save_as: Any, serve: Any, draw: Any
) -> None:
    version = save_as("classifier", "first")
    run_python(home, "-m", "bentoml", "build")
    (bento,) = (path.parent for path in home.glob("bentos/graft/*/bento.yaml"))
    patterns = ("*.py", "*.html")
    source = bento / "src"
    files = {
        path.relative_to(source).as_posix()
        for pattern in patterns
        for path in source.rglob(pattern)
    }
    folder = ROOT / "service"
    expected = {
        path.relative_to(ROOT).as_posix() for pattern in patterns for path in folder.rglob(pattern)
    }
    assert files == expected
    assert not [path for path in bento.rglob("*") if path.name in ("trainers", "plugins")]

    newer = save_as("classifier", "second")
    with serve(bento="graft:latest", BENTOML_HOME=str(home), GRAFT_MODEL="") as server:
        answer = httpx.post(f"{server.url}/predict", files={"image": draw("blue")}).json()
        assert answer["label"] == "blue"
        assert answer["model"]["version"] == version
        assert httpx.get(f"{server.url}/model").json()["version"] == version
        assert "<title>Graft</title>" in httpx.get(f"{server.url}/ui").text
    variables = {"BENTOML_HOME": str(home), "GRAFT_MODEL": f"classifier:{newer}"}
    with serve(bento="graft:latest", **variables) as server:
        assert httpx.get(f"{server.url}/model").json()["version"] == newer


def test_a_bento_may_have_a_model_of_another_name(
    home: Path, save_as: Any, serve: Any, tmp_path: Path
) -> None:
    version = save_as("leaves", "first")
    bentofile = yaml.safe_load((ROOT / "bentofile.yaml").read_text())
    bentofile["models"][0]["tag"] = "leaves:latest"
    (tmp_path / "leaves.yaml").write_text(yaml.safe_dump(bentofile))
    run_python(
        home, "-m", "bentoml", "build", "-f", str(tmp_path / "leaves.yaml"), "--name", "leaves"
    )
    with serve(bento="leaves:latest", BENTOML_HOME=str(home), GRAFT_MODEL="") as server:
        model = httpx.get(f"{server.url}/model").json()
    assert (model["name"], model["version"]) == ("leaves", version)
