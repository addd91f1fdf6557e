"""The commands in deploy/README.md work; its tables and numbers agree with the manifests."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.bundle.reading import Bundle
from service.bundle.signature import load_verified
from service.bundle.store import save
from service.server.transport import SEND_TIMEOUT_SECONDS
from service.settings import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "deploy/README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)


def test_deployment_takes_ten_commands_and_rollback_one() -> None:
    assert len(BLOCKS[0].strip().splitlines()) == 10
    undo = next(block for block in BLOCKS if "rollout undo" in block)
    assert len(undo.strip().splitlines()) == 1


def test_named_folders_and_files_exist() -> None:
    applied = re.findall(r"-[kf] (deploy/\S+)", "\n".join(BLOCKS))
    assert len(applied) > 8
    for path in applied:
        assert (ROOT / path).exists(), path
    for path in re.findall(r"`(kubernetes/[\w./-]+)`", TEXT):
        assert (ROOT / "deploy" / path).exists(), path


def test_every_overlay_and_run_has_its_row() -> None:
    rows = re.findall(r"^\| `kubernetes/([\w/-]+)`(?:, `([\w-]+)`)?", TEXT, re.MULTILINE)
    documented = {overlay for overlay, _ in rows} | {
        f"training/{run_name}" for _, run_name in rows if run_name
    }
    folder = ROOT / "deploy/kubernetes"
    existing = {
        path.parent.relative_to(folder).as_posix()
        for top in ("overlays", "training")
        for path in folder.glob(f"{top}/*/kustomization.yaml")
    }
    assert documented == existing - {"training/settings"}


def test_the_command_sets_registry_and_digest_of_the_images(
    tmp_path: Path, kustomize: Callable[[Path], list[dict[str, Any]]]
) -> None:
    command = next(line for line in BLOCKS[0].splitlines() if line.startswith("grep "))
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    variables = {"REGISTRY": "registry.example.com/you", "DIGEST": "sha256:" + "ab" * 32}
    subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=variables | {"PATH": "/usr/bin:/bin"}, check=True
    )
    images = {}
    for name in ("overlays/cpu", "training/job"):
        for manifest in kustomize(tmp_path / "deploy/kubernetes" / name):
            if manifest["kind"] in {"Deployment", "Job"}:
                (container,) = manifest["spec"]["template"]["spec"]["containers"]
                images[manifest["kind"]] = container["image"]
    version = r":\d+\.\d+\.\d+@"
    registry, digest = variables["REGISTRY"], variables["DIGEST"]
    assert re.fullmatch(f"{registry}/graft{version}{digest}", images["Deployment"])
    assert re.fullmatch(f"{registry}/graft-training{version}sha256:0+", images["Job"])
    compose = yaml.safe_load((tmp_path / "deploy/compose.yaml").read_text())["services"]
    assert compose["graft"]["image"] == images["Deployment"]
    assert compose["grafana"]["image"].endswith("0" * 64)
    unchanged = [
        path for path in (tmp_path / "deploy").rglob("*.yaml") if "example.org" in path.read_text()
    ]
    assert not unchanged


@pytest.mark.slow
def test_the_commands_sign_a_folder_and_a_model_in_the_store(
    tmp_path: Path, tiny_bundle: Bundle
) -> None:
    pytest.importorskip("model_signing")
    tag = save(Bundle.read(Path(shutil.copytree(tiny_bundle.path, tmp_path / "tiny-0"))))
    (folder,) = [block for block in BLOCKS if "openssl ecparam" in block]
    (store,) = [block for block in BLOCKS if "STORED=" in block]
    lines = [line for line in (folder + store).splitlines() if not line.startswith("docker")]
    for documented, actual in (
        ("artifacts/classifier-0123456789ab", "tiny-0"),
        ("classifier:latest", tag),
        (".venv/bin/", f"{Path(sys.executable).parent}/"),
    ):
        assert any(documented in line for line in lines)
        lines = [line.replace(documented, actual) for line in lines]
    subprocess.run(["sh", "-euc", "\n".join(lines)], cwd=tmp_path, check=True)
    for reference in (str(tmp_path / "tiny-0"), tag):
        bundle = load_verified(reference, str(tmp_path / "graft.pub"))
        assert bundle.manifest == tiny_bundle.manifest


def test_stopping_times_match_the_manifests(
    render: Callable[[str], list[dict[str, Any]]], find: Callable[..., dict[str, Any]]
) -> None:
    manifests = render("overlays/cpu")
    pod = find(manifests, "Deployment")["spec"]["template"]["spec"]
    settings = Settings.from_environment(find(manifests, "ConfigMap")["data"])
    pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    stopping = " ".join(TEXT.partition("**Stopping**")[2].partition("Change one")[0].split())
    parts = [pause, settings.drain_seconds, settings.upload_timeout_seconds]
    parts += [settings.deadline_seconds, SEND_TIMEOUT_SECONDS]
    figures = [f"{part:g}" for part in (*parts, sum(parts), pod["terminationGracePeriodSeconds"])]
    assert re.findall(r"\b\d+\b", stopping.replace("503", "")) == figures


@pytest.mark.parametrize("package", ["bentoml", "pillow", "starlette", "h11"])
def test_the_locked_versions_are_those_of_requirements(package: str) -> None:
    (version,) = re.findall(rf"^\| {package} \| ([\d.]+) \|", TEXT, re.MULTILINE)
    assert f"\n{package}=={version} " in (ROOT / "requirements/serving.txt").read_text()


def test_every_alert_has_a_line() -> None:
    page = yaml.safe_load((ROOT / "deploy/kubernetes/overlays/monitoring/alerts.yaml").read_text())
    section = TEXT.partition("## Alerts")[2].partition("\n## ")[0]
    for group in page["spec"]["groups"]:
        for rule in group["rules"]:
            assert "alert" not in rule or rule["alert"] in section
