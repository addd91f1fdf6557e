"""The image without Docker: runs the steps of the Dockerfile in a temporary folder."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from service.bundle.reading import Bundle

ROOT = Path(__file__).parents[3]
LINES = (ROOT / "deploy/Dockerfile").read_text().replace("\\\n", "").splitlines()


def instructions(name: str) -> list[str]:
    return [line.removeprefix(name).strip() for line in LINES if line.startswith(f"{name} ")]


def test_copied_files_are_in_the_build_context() -> None:
    context = set((ROOT / ".dockerignore").read_text().splitlines())
    for copy in instructions("COPY"):
        source = next(word for word in copy.split() if not word.startswith("--"))
        if "--from=" in copy or source == "${BUNDLE}":
            continue
        source = source.replace("${LOCK}", "serving")
        assert (ROOT / source).exists(), source
        assert {f"!{source}", f"!{source.partition('/')[0]}"} & context, source


def test_no_compiled_files_of_this_machine_are_copied() -> None:
    """Later lines win, so this line must come after the lines that admit folders."""
    assert (ROOT / ".dockerignore").read_text().splitlines()[-1] == "**/__pycache__"


def test_process_is_not_root_and_receives_signals_directly() -> None:
    assert int(instructions("USER")[-1].split(":")[0]) > 0
    assert isinstance(json.loads(instructions("CMD")[-1]), list)


def test_no_training_code_or_framework_is_installed() -> None:
    lines = (ROOT / "requirements/serving.txt").read_text().splitlines()
    locked = [line.partition("==")[0] for line in lines if "==" in line]
    assert {"bentoml", "onnxruntime", "pillow"} <= set(locked)
    assert not {"tensorflow", "tensorflow-cpu", "keras", "onnx", "tf2onnx"} & set(locked)
    assert not [copy for copy in instructions("COPY") if "trainers" in copy or "plugins" in copy]


@pytest.mark.parametrize(
    "lock", ["serving", "serving-sign", "serving-gpu", "train", "train-kerashub", "train-gpu"]
)
def test_lock_has_the_tested_versions(lock: str) -> None:
    """Packages that dev.txt also locks have the same version; each has a hash that pip checks."""
    tested, locked = versions("dev"), versions(lock)
    assert len(locked) > 70
    assert {
        name: version for name, version in locked.items() if tested.get(name, version) != version
    } == {}
    text = (ROOT / f"requirements/{lock}.txt").read_text()
    assert text.count("==") <= text.count("--hash=sha256:")
    assert "://" not in text, "whoever installs chooses the package index"


def test_locks_of_other_images_have_their_packages() -> None:
    assert "model-signing" in versions("serving-sign")
    assert "pyopenssl" in versions("serving-sign"), "model-signing imports it without declaring it"
    gpu = set(versions("serving-gpu"))
    assert "onnxruntime-gpu" in gpu
    assert "onnxruntime" not in gpu, "both packages install into the same folder"
    assert any(name.startswith("nvidia-cudnn") for name in gpu)
    assert "tensorflow-cpu" in versions("train")
    assert {"tensorflow", "nvidia-cudnn-cu12"} <= set(versions("train-gpu"))
    kerashub = set(versions("train-kerashub"))
    assert {"tensorflow-cpu", "keras-hub", "kagglehub"} <= kerashub
    assert not {"tensorflow-text", "sentencepiece", "huggingface-hub"} & kerashub
    assert not {"pytest", "ruff", "mypy", "playwright"} & set(versions("train"))


def versions(lock: str) -> dict[str, str]:
    text = (ROOT / f"requirements/{lock}.txt").read_text()
    return dict(re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("file", ["deploy/Dockerfile", "deploy/training.Dockerfile", "Makefile"])
def test_locks_are_installed_without_resolving(file: str) -> None:
    """pip's resolver fails if a package is required with an extra but locked without it."""
    text = (ROOT / file).read_text()
    lines = [line for line in text.splitlines() if "--require-hashes" in line and "-r " in line]
    assert lines
    assert all("--no-deps" in line for line in lines)


def test_labels_say_where_the_image_comes_from() -> None:
    for name in ("Dockerfile", "training.Dockerfile"):
        text = (ROOT / "deploy" / name).read_text()
        for label in ("version", "revision", "source"):
            assert f"org.opencontainers.image.{label}=${{{label.upper()}}}" in text
            assert f"\nARG {label.upper()}=" in text


@pytest.mark.long
def test_the_build_steps_produce_a_ready_service(tmp_path: Path, tiny_bundle: Bundle) -> None:
    """Packages, files, variables and command are those of the Dockerfile."""
    (tmp_path / "build").mkdir()
    shutil.copy(ROOT / "requirements/serving.txt", tmp_path / "build/lock.txt")
    local_paths = {"/opt/graft": f"{tmp_path}/graft", "/build/": f"{tmp_path}/build/"}
    for step in instructions("RUN"):
        for image_path, local_path in local_paths.items():
            step = step.replace(image_path, local_path)  # noqa: PLW2901  # paths of the image, in our folder
        step = step.replace("python -m venv", f"{sys.executable} -m venv")  # noqa: PLW2901
        subprocess.run(step, shell=True, check=True, capture_output=True)
    shutil.copytree(ROOT / "service", tmp_path / "app/service")
    shutil.copy(ROOT / "bentofile.yaml", tmp_path / "app")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    settings = dict(part.split("=", 1) for part in shlex.split(instructions("ENV")[0]))
    settings["PATH"] = f"{tmp_path}/graft/bin:{os.environ['PATH']}"
    (tmp_path / "tmp").mkdir()
    settings["TMPDIR"] = f"{tmp_path}/tmp"
    for name in ("BENTOML_HOME", "GRAFT_CACHE"):
        settings[name] = settings[name].replace("/tmp", settings["TMPDIR"])
    settings["HOME"] = f"{tmp_path}/home"  # as in the image: it does not exist
    settings["GRAFT_MODEL"] = str(tiny_bundle.path)
    command = json.loads(instructions("CMD")[-1])
    command = [f"{tmp_path}/graft/bin/bentoml", *command[1:]]
    command[command.index("0.0.0.0")] = "127.0.0.1"
    command[command.index("3000")] = port
    files_before = files_outside_tmp(tmp_path)
    with subprocess.Popen(command, cwd=tmp_path / "app", env=settings) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            assert wait_for(f"{url}/readyz", process)
            picture = (tiny_bundle.path / "golden/red.png").read_bytes()
            answer = httpx.post(f"{url}/predict", files={"image": picture}).json()
            assert answer["label"] == "red"
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    # The root file system may be read-only. (ONNX Runtime's telemetry would show in the home.)
    assert files_outside_tmp(tmp_path) == files_before


def files_outside_tmp(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if not path.is_relative_to(root / "tmp")}


def wait_for(url: str, process: subprocess.Popen[bytes], seconds: float = 90) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return True
        except httpx.TransportError:
            time.sleep(0.2)
    return False
