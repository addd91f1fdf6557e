"""deploy/compose.yaml: services, ports, files and settings match those that it refers to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.server.transport import SEND_TIMEOUT_SECONDS
from service.settings import Settings

DEPLOY = Path(__file__).parents[3] / "deploy"
SERVICES = ("graft", "prometheus", "grafana")
NO_SETTINGS = {"HOME", "GRAFT_CACHE"}


def read(path: str) -> dict[str, Any]:
    page: dict[str, Any] = yaml.safe_load((DEPLOY / path).read_text())
    return page


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    page = read("compose.yaml")
    assert set(page) == {"name", "x-closed", "services", "volumes"}
    assert tuple(page["services"]) == SERVICES
    return dict(page["services"])


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Map each mount point in the container to its source, without `:ro`."""
    pairs = (volume.removesuffix(":ro").split(":") for volume in service.get("volumes", ()))
    return {target: source for source, target in pairs}


def settings() -> dict[str, str]:
    lines = (DEPLOY / "kubernetes/base/server/settings.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


@pytest.mark.parametrize("part", SERVICES)
def test_each_service_is_locked_down(services: dict[str, dict[str, Any]], part: str) -> None:
    service = services[part]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"])
    assert re.fullmatch(r"[\w.]+/[\w/-]+:v?\d+\.\d+\.\d+@sha256:[0-9a-f]{64}", service["image"])
    assert {"mem_limit", "pids_limit", "restart"} <= set(service)


def test_only_the_service_is_reachable_from_other_machines(
    services: dict[str, dict[str, Any]],
) -> None:
    assert services["graft"]["ports"] == ["3000:3000"]
    for name in SERVICES[1:]:
        assert all(port.startswith("127.0.0.1:") for port in services[name]["ports"])
    outside = [port.split(":")[-2] for service in services.values() for port in service["ports"]]
    assert len(set(outside)) == len(outside)


def test_it_runs_the_image_of_the_manifests(services: dict[str, dict[str, Any]]) -> None:
    image = read("kubernetes/image/kustomization.yaml")["images"][0]
    expected = f"{image['newName']}:{image['newTag']}@{image['digest']}"
    assert services["graft"]["image"] == expected
    text = (DEPLOY / "Dockerfile").read_text()
    assert re.search(r"^USER (\S+)$", text, re.MULTILINE)[1] == services["graft"]["user"]  # type: ignore[index]
    assert re.search(r"^EXPOSE (\d+)$", text, re.MULTILINE)[1] == "3000"  # type: ignore[index]


def test_the_settings_are_those_of_the_code(services: dict[str, dict[str, Any]]) -> None:
    graft = services["graft"]
    assert graft["env_file"] == "kubernetes/base/server/settings.env"
    variables = settings()
    assert graft["environment"]["GRAFT_API_KEYS"].startswith(
        "${GRAFT_API_KEYS?"
    )  # a required variable
    names = (set(variables) | set(graft["environment"])) - NO_SETTINGS
    assert names <= {f"GRAFT_{field.upper()}" for field in Settings.model_fields}
    parsed = Settings.from_environment(variables)
    waits = parsed.drain_seconds, parsed.upload_timeout_seconds, parsed.deadline_seconds
    assert sum(waits) + SEND_TIMEOUT_SECONDS < int(graft["stop_grace_period"].removesuffix("s"))
    writable = {entry.partition(":")[0]: entry.partition(":")[2] for entry in graft["tmpfs"]}
    uid, gid = graft["user"].split(":")
    assert set(writable) == {"/tmp", variables["GRAFT_CACHE"]}
    assert {f"uid={uid}", f"gid={gid}"} <= set(writable[variables["GRAFT_CACHE"]].split(","))


def test_verify_key_is_mounted_at_the_path_in_the_settings() -> None:
    """Both lines are commented out."""
    text = (DEPLOY / "kubernetes/base/server/settings.env").read_text()
    (path,) = re.findall(r"^# GRAFT_VERIFY_KEY=(\S+)$", text, re.MULTILINE)
    compose = (DEPLOY / "compose.yaml").read_text()
    (line,) = re.findall(r"^    # (volumes: .*)$", compose, re.MULTILINE)
    # openssl wrote it into the checkout
    assert mounts(yaml.safe_load(line)) == {path: "../graft.pub"}


def test_every_mount_source_exists(services: dict[str, dict[str, Any]]) -> None:
    volumes = read("compose.yaml")["volumes"]
    for service in services.values():
        for target, source in mounts(service).items():
            assert target.startswith("/")
            assert source in volumes or (DEPLOY / source).exists(), source


def test_prometheus_scrapes_the_service_and_finds_its_files(
    services: dict[str, dict[str, Any]],
) -> None:
    (scrape,) = read("prometheus.yml")["scrape_configs"]
    assert scrape["static_configs"] == [{"targets": ["graft:3000"]}]
    files = mounts(services["prometheus"])
    options = dict(option.split("=", 1) for option in services["prometheus"]["command"])
    configuration = options["--config.file"]
    assert files[configuration] == "./prometheus.yml"
    (rules,) = read("prometheus.yml")["rule_files"]
    assert files[f"{Path(configuration).parent}/{rules}"] == "./alerts.yaml"
    assert files[options["--storage.tsdb.path"]] == "prometheus"


def test_grafana_queries_prometheus_and_finds_the_dashboard(
    services: dict[str, dict[str, Any]],
) -> None:
    (source,) = read("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    (port,) = services["prometheus"]["ports"]
    assert source["url"] == f"http://prometheus:{port.rpartition(':')[2]}"
    assert source["isDefault"], "the dashboard uses the default data source"
    assert source["jsonData"]["timeInterval"] == read("prometheus.yml")["global"]["scrape_interval"]
    (provider,) = read("grafana/provisioning/dashboards/graft.yaml")["providers"]
    files = mounts(services["grafana"])
    assert files["/etc/grafana/provisioning"] == "./grafana/provisioning"
    assert files[f"{provider['options']['path']}/graft.json"] == "./grafana/graft.json"
    secret = services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"]
    assert secret.startswith("${GRAFANA_PASSWORD:?"), "there must be no default password"
