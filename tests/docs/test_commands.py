"""Runs the commands in the README and in docs/.

`.venv/bin/`, the folder, the picture, the backbone (no weights can be downloaded here) and the port
are replaced; the rest of each command is unchanged. One model is trained for all commands.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bentoml
import pytest
import yaml
from PIL import Image

from service.bundle import store
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from trainers.dataset.samples import draw_samples

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs/images"
IS_WRITING = bool(os.environ.get("GRAFT_WRITE_DOCS"))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PER_CLASS = 60 if IS_WRITING else 20
"""The number of pictures of each kind of drawn leaf; larger for screenshots in the docs."""
START_SECONDS = 600

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Workspace:
    """The folder in which commands run, and the values that replace names in them."""

    folder: Path
    pictures: Path
    picture: Path
    address: str

    def run(self, command: str, **replacements: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the docs in `folder`; its exit code must be 0."""
        replacements |= {"YOUR_FOLDER": str(self.pictures), "PICTURE.jpg": str(self.picture)}
        replacements |= {".venv/bin/python": sys.executable}
        replacements |= {".venv/bin/bentoml": f"{sys.executable} -m bentoml"}
        replacements |= {"localhost:3000": self.address}
        for placeholder, replacement in replacements.items():
            command = command.replace(placeholder, replacement)
        completed = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert completed.returncode == 0, completed.stderr
        return completed


def blocks(page: str, word: str, language: str = "sh") -> list[str]:
    """The code blocks of a page that contain a word."""
    text = (ROOT / page).read_text()
    code_blocks = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [block for block in code_blocks if word in block]


def block(page: str, word: str) -> str:
    (code,) = blocks(page, word)
    return code


def first_steps() -> list[str]:
    """The three commands in the README: train, serve, classify a picture."""
    return block("README.md", "trainers.run").splitlines()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, module_home: Path) -> Workspace:
    folder = tmp_path_factory.mktemp("commands")
    pictures = draw_samples(tmp_path_factory.mktemp("leaves"), PER_CLASS)
    picture = min(pictures.glob("*/*.jpg"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Workspace(folder, pictures, picture, f"127.0.0.1:{port}")


@pytest.fixture(scope="module")
def bundle(workspace: Workspace) -> Path:
    """The bundle that the first command in the README writes."""
    train, _, _ = first_steps()
    completed = workspace.run(train, efficientnet="pocket")
    return workspace.folder / completed.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def served(workspace: Workspace, bundle: Path) -> Iterator[Workspace]:
    """The service that the second command in the README starts, with the model of the first."""
    _, serve, _ = first_steps()
    assert serve == ".venv/bin/bentoml serve"
    host, port = workspace.address.split(":")
    command = [sys.executable, "-m", *serve.split("/")[-1].split(), "--host", host, "--port", port]
    log = workspace.folder / "server.log"
    with log.open("wb") as file:
        server = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)
    try:
        wait_until_ready(workspace.address, server, log)
        yield workspace
    finally:
        server.terminate()
        server.wait(60)


def wait_until_ready(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{address}/readyz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the service did not get ready:\n{log.read_text()}")


def test_three_commands_lead_from_a_folder_to_an_answer(served: Workspace, bundle: Path) -> None:
    _, _, request = first_steps()
    answer = json.loads(served.run(request).stdout)
    assert answer["label"] == served.picture.parent.name
    assert answer["model"] == {"name": "classifier", "version": bundle.name.rpartition("-")[2]}
    assert (bundle / "report.html").is_file()


@pytest.mark.parametrize(
    "command",
    [command for block in blocks("docs/serving.md", "/predict") for command in [block]],
)
def test_requests_of_the_docs_are_answered(served: Workspace, command: str) -> None:
    answers = served.run(command).stdout
    assert answers.count(f'"label":"{served.picture.parent.name}"') >= command.count("curl")


def test_a_folder_is_scored(workspace: Workspace, bundle: Path) -> None:
    workspace.run(block("docs/serving.md", "service.predict"))
    rows = (workspace.folder / "answers.csv").read_text().splitlines()
    assert len(rows) == 1 + len(list(workspace.pictures.glob("*/*.jpg")))
    assert "probability_healthy" in rows[0]


def test_a_folder_is_checked(workspace: Workspace) -> None:
    completed = workspace.run(block("docs/training.md", "trainers.check"))
    assert "4 classes" in completed.stderr + completed.stdout


def test_a_model_is_measured_on_a_folder(workspace: Workspace, bundle: Path) -> None:
    command = block("docs/training.md", "trainers.evaluate")
    completed = workspace.run(command)
    page = workspace.folder / completed.stdout.splitlines()[-1]
    measured, trained = (
        json.loads((folder / "metrics.json").read_text())["test"]
        for folder in (page.parent, bundle)
    )
    assert measured == trained  # of this folder, only the test pictures are left


def test_backbones_are_compared(workspace: Workspace, bundle: Path) -> None:
    command = block("docs/backbones.md", "trainers.compare")
    plugins = {"pocket,mobilenet:v3-small,resnet:50": "pocket,pocket=none"}
    assert set(plugins) <= set(command.split())
    completed = workspace.run(command, **plugins)
    assert "python -m trainers.run --plugin pocket" in completed.stdout + completed.stderr


def test_a_model_is_promoted_and_the_next_one_is_rolled_back(
    workspace: Workspace, bundle: Path, tmp_path: Path
) -> None:
    promote, roll_back = blocks("docs/bundles.md", "trainers.promote")
    tag = f"classifier:{bundle.name.rpartition('-')[2]}"
    assert workspace.run(promote).stdout.splitlines()[-1] == tag
    staging = Path(shutil.copytree(bundle, tmp_path / "staging"))
    (staging / "manifest.json").unlink()
    manifest = Bundle.read(bundle).manifest.model_copy(update={"created": "later", "files": {}})
    later = seal(staging, manifest, tmp_path)
    store.save(later, as_champion=True)
    assert workspace.run(roll_back).stdout.splitlines()[-1] == tag
    bentoml.models.delete(later.manifest.tag)


def test_the_store_lists_the_model(workspace: Workspace, bundle: Path) -> None:
    list_command, _ = block("docs/bundles.md", "models list").splitlines()
    assert f"classifier:{bundle.name.rpartition('-')[2]}" in workspace.run(list_command).stdout


def test_a_bento_of_another_name_has_its_model(workspace: Workspace) -> None:
    shutil.copy(ROOT / "bentofile.yaml", workspace.folder)
    rename, build = block("docs/bundles.md", "leaves.yaml").splitlines()
    workspace.run(rename)
    written = yaml.safe_load((workspace.folder / "leaves.yaml").read_text())
    assert [model["tag"] for model in written["models"]] == ["leaves:latest"]
    assert build.split()[2:4] == ["-f", "leaves.yaml"]


def test_the_python_of_the_docs_trains_and_predicts(workspace: Workspace, bundle: Path) -> None:
    import trainers

    if not hasattr(trainers, "train"):
        pytest.skip("`from trainers import train` is not there yet")
    script = "".join(blocks("docs/python.md", "import", "python"))
    names = {
        '"leaves"': repr(str(workspace.pictures)),
        '"PICTURE.jpg"': repr(str(workspace.picture)),
    }
    for placeholder, replacement in names.items():
        assert placeholder in script
        script = script.replace(placeholder, replacement)
    (workspace.folder / "script.py").write_text(script)
    accuracy, report, bundle_path, answer, *_ = workspace.run(
        ".venv/bin/python script.py"
    ).stdout.splitlines()
    assert 0 <= float(accuracy) <= 1
    assert report == f"{bundle_path}/report.html"
    assert answer.split()[0] == workspace.picture.parent.name


# Screenshots of the README, in docs/images. They are updated if GRAFT_WRITE_DOCS is set.

Shoot = Callable[[str, str], Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here: make setup")
    if CHROMIUM is None:
        pytest.skip("no chromium on the PATH")
    with playwright.sync_playwright() as driver:
        options = ["--no-sandbox", "--headless"]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


def save(page: Any, name: str, folder: Path) -> None:
    """Save a screenshot of the page; it must have the same size as the screenshot in the docs."""
    path = (IMAGES if IS_WRITING else folder) / name
    page.screenshot(path=path)
    with Image.open(path) as screenshot, Image.open(IMAGES / name) as expected:
        assert screenshot.size == expected.size
        assert len(screenshot.convert("RGB").getcolors(1 << 24) or ()) > 100  # it is not blank


def test_screenshot_of_the_page(browser: Any, served: Workspace, tmp_path: Path) -> None:
    page = browser.new_page(viewport={"width": 760, "height": 720}, color_scheme="light")
    page.goto(f"http://{served.address}/ui")
    folders = sorted(path for path in served.pictures.iterdir() if path.is_dir())
    page.set_input_files("input[type=file]", [sorted(path.iterdir())[1] for path in folders])
    page.wait_for_function(
        "count => document.querySelectorAll('.row .best:not([hidden])').length === count",
        arg=len(folders),
    )
    page.wait_for_load_state("networkidle")
    save(page, "ui.png", tmp_path)


def test_screenshot_of_the_report(browser: Any, bundle: Path, tmp_path: Path) -> None:
    page = browser.new_page(viewport={"width": 760, "height": 720}, color_scheme="light")
    page.goto((bundle / "report.html").as_uri())
    save(page, "report.png", tmp_path)
