"""The alerts fire when they should: their units by promtool, and what they have from elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from service.asgi import ENDPOINTS
from service.errors import RequestError
from service.metrics import Metrics
from service.settings import Settings

DEPLOY = Path(__file__).parents[3] / "deploy"
SOURCE = DEPLOY / "kubernetes/overlays/monitoring/alerts.yaml"
PLAIN = DEPLOY / "alerts.yaml"
UNITS = DEPLOY / "alerts.test.yaml"
HEADER = "# Written from kubernetes/overlays/monitoring/alerts.yaml: change that one.\n"

Render = Callable[[str], list[dict[str, Any]]]
Find = Callable[..., dict[str, Any]]


def plain(manifest: str) -> str:
    """The rules of a PrometheusRule as a file that Prometheus itself reads."""
    return HEADER + textwrap.dedent(manifest.partition("\nspec:\n")[2])


def alerts() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(PLAIN.read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    return {rule["alert"]: rule for rule in rules if "alert" in rule}


def promtool(*arguments: str | Path) -> str:
    """What promtool says of what it accepts."""
    if not shutil.which("promtool"):
        pytest.skip("no promtool here (Debian's package prometheus)")
    done = subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_and_its_operator_have_the_same_rules() -> None:
    wanted = plain(SOURCE.read_text())
    if os.environ.get("GRAFT_WRITE_ALERTS"):
        PLAIN.write_text(wanted)
    assert PLAIN.read_text() == wanted, "GRAFT_WRITE_ALERTS=1 writes it"
    assert yaml.safe_load(wanted) == yaml.safe_load(SOURCE.read_text())["spec"]


def test_promtool_accepts_rules_and_configuration() -> None:
    assert "rules found" in promtool("check", "rules", PLAIN)
    assert "1 rule files found" in promtool("check", "config", DEPLOY / "prometheus.yml")


def test_promtool_sees_each_fire_and_be_silent() -> None:
    promtool("test", "rules", UNITS)


def test_each_has_a_test_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    tried = [
        (one["alertname"], bool(one["exp_alerts"]))
        for test in yaml.safe_load(UNITS.read_text())["tests"]
        for one in test["alert_rule_test"]
    ]
    assert set(tried) == {(name, fires) for name in alerts() for fires in (True, False)}


@pytest.mark.parametrize("alert", sorted(alerts()))
def test_the_units_notice_an_alert_that_sleeps_or_cries(alert: str, tmp_path: Path) -> None:
    """The tests of promtool are only as good as what they refuse."""
    units, rules = yaml.safe_load(UNITS.read_text()), yaml.safe_load(PLAIN.read_text())
    units["tests"] = [test for test in units["tests"] if f"'alertname': '{alert}'" in str(test)]
    (tmp_path / UNITS.name).write_text(yaml.safe_dump(units))
    (group,) = (group for group in rules["groups"] if alert in str(group))
    (rule,) = (rule for rule in group["rules"] if rule.get("alert") == alert)
    for expression in ("vector(0) > 1", "vector(1)"):
        only = {"name": group["name"], "rules": [{**rule, "expr": expression}]}
        (tmp_path / PLAIN.name).write_text(yaml.safe_dump({"groups": [only]}))
        with pytest.raises(AssertionError, match=alert):
            promtool("test", "rules", tmp_path / UNITS.name)


def test_each_says_how_urgent_it_is_and_what_is_the_matter() -> None:
    for name, rule in alerts().items():
        assert name.startswith("Graft")
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"]


def test_the_queue_is_long_at_three_quarters_of_what_the_manifests_let_in(
    render: Render, find: Find
) -> None:
    settings = Settings.from_environment(find(render("overlays/cpu"), "ConfigMap")["data"])
    (bound,) = re.findall(r"> (\d+)$", alerts()["GraftQueueLong"]["expr"])
    assert int(bound) == settings.max_queue_size * 3 // 4


def test_reasons_endpoints_and_the_second_are_the_codes() -> None:
    text = PLAIN.read_text()
    codes = {kind.code for kind in RequestError.__subclasses__()}
    reasons = {code for found in re.findall(r'reason=~?"(.*?)"', text) for code in found.split("|")}
    assert reasons
    assert reasons <= codes
    (pattern,) = set(re.findall(r'endpoint=~"(.*?)"', text))
    chosen = {row.path for row in ENDPOINTS if re.fullmatch(pattern, row.path)}
    assert chosen == {
        "/predict",
        "/v2/models/{name}/infer",
        "/v2/models/{name}/versions/{version}/infer",
    }
    (limit,) = set(re.findall(r'le="(.*?)"', text))
    buckets = Metrics(CollectorRegistry()).request_seconds._upper_bounds
    assert limit in {str(bucket) for bucket in buckets}


def test_jobs_are_those_that_the_monitors_and_the_configuration_name(
    render: Render, find: Find
) -> None:
    manifests = render("overlays/monitoring")
    pods = find(manifests, "PodMonitor")["metadata"]
    plainly = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    names = {
        find(render("overlays/cpu"), "Service")["metadata"]["name"],
        f"{pods['namespace']}/{pods['name']}",
        *(one["job_name"] for one in plainly),
    }
    patterns = set(re.findall(r'job=~"(.*?)"', PLAIN.read_text()))
    for pattern in patterns:
        assert all(re.fullmatch(pattern, name) for name in names), pattern
    assert len(patterns) == 1
