"""The training image without Docker: what it copies, installs and starts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]
FILE = ROOT / "deploy/training.Dockerfile"
LINES = FILE.read_text().replace("\\\n", "").splitlines()


def instructions(name: str) -> list[str]:
    return [line.removeprefix(name).strip() for line in LINES if line.startswith(f"{name} ")]


def test_ignore_file_admits_exactly_the_copied_folders() -> None:
    ignored = FILE.with_name(f"{FILE.name}.dockerignore").read_text().splitlines()
    copies = [copy for copy in instructions("COPY") if "--from=" not in copy]
    copied = {copy.split("/")[0].split()[0] for copy in copies}
    assert copied == {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert all((ROOT / source).exists() for source in copied)
    assert ignored[-1] == "**/__pycache__", "later lines win"


def test_the_lock_has_what_training_needs() -> None:
    (install,) = (step for step in instructions("RUN") if "--require-hashes" in step)
    assert "requirements/${LOCK}.txt /build/lock.txt" in instructions("COPY")
    assert "/build/lock.txt" in install
    default = dict(argument.split("=") for argument in instructions("ARG"))["LOCK"]
    text = (ROOT / f"requirements/{default}.txt").read_text()
    locked = set(re.findall(r"^([\w-]+)==", text, re.MULTILINE))
    assert {"tensorflow-cpu", "keras", "scikit-learn", "tf2onnx", "bentoml"} <= locked


def test_it_starts_the_trainer_from_the_folder_of_the_packages() -> None:
    assert json.loads(instructions("ENTRYPOINT")[-1]) == ["python", "-m", "trainers.run"]
    (folder,) = instructions("WORKDIR")
    targets = {copy.split()[1] for copy in instructions("COPY") if copy.split()[0].isidentifier()}
    assert targets == {f"{folder}/{name}" for name in ("plugins", "trainers", "service")}


def test_jobs_keep_the_working_folder_of_the_image() -> None:
    """Their `command` replaces the ENTRYPOINT, and finds the packages only in the WORKDIR."""
    for path in (ROOT / "deploy/kubernetes/training").rglob("*.yaml"):
        assert "workingDir" not in path.read_text()
        assert list(yaml.safe_load_all(path.read_text()))
