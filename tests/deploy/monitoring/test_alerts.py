"""The alerts fire when they should, and their names and limits are those of the code."""

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

from service.asgi import ALL_ENDPOINTS
from service.errors import RequestError
from service.metrics import Metrics
from service.settings import Settings

DEPLOY = Path(__file__).parents[3] / "deploy"
SOURCE = DEPLOY / "kubernetes/overlays/monitoring/alerts.yaml"
PLAIN = DEPLOY / "alerts.yaml"
UNITS = DEPLOY / "alerts.test.yaml"
HEADER = "# Written from kubernetes/overlays/monitoring/alerts.yaml: change that file.\n"

Render = Callable[[str], list[dict[str, Any]]]
Find = Callable[..., dict[str, Any]]


def plain_rules(manifest: str) -> str:
    """Return the rules of a PrometheusRule as a file for Prometheus without the operator."""
    return HEADER + textwrap.dedent(manifest.partition("\nspec:\n")[2])


def alerts() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(PLAIN.read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    return {rule["alert"]: rule for rule in rules if "alert" in rule}


def promtool(*arguments: str | Path) -> str:
    """Run promtool; return its output, or fail if it finds a fault."""
    if not shutil.which("promtool"):
        pytest.skip("no promtool here (Debian's package prometheus)")
    completed = subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout


def test_prometheus_and_its_operator_have_the_same_rules() -> None:
    expected = plain_rules(SOURCE.read_text())
    if os.environ.get("GRAFT_WRITE_ALERTS"):
        PLAIN.write_text(expected)
    assert PLAIN.read_text() == expected, "set GRAFT_WRITE_ALERTS=1 to write it"
    assert yaml.safe_load(expected) == yaml.safe_load(SOURCE.read_text())["spec"]


def test_promtool_accepts_rules_and_configuration() -> None:
    assert "rules found" in promtool("check", "rules", PLAIN)
    assert "1 rule files found" in promtool("check", "config", DEPLOY / "prometheus.yml")


@pytest.mark.slow
def test_promtool_sees_each_alert_fire_only_when_it_should() -> None:
    promtool("test", "rules", UNITS)


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    tested = [
        (case["alertname"], bool(case["exp_alerts"]))
        for test in yaml.safe_load(UNITS.read_text())["tests"]
        for case in test["alert_rule_test"]
    ]
    assert set(tested) == {(name, fires) for name in alerts() for fires in (True, False)}


@pytest.mark.parametrize("alert", sorted(alerts()))
def test_the_cases_notice_an_alert_that_never_or_always_fires(alert: str, tmp_path: Path) -> None:
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


def test_each_alert_has_a_severity_and_a_summary() -> None:
    for name, rule in alerts().items():
        assert name.startswith("Graft")
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"]


def test_the_queue_is_long_at_three_quarters_of_its_limit(render: Render, find: Find) -> None:
    settings = Settings.from_environment(find(render("overlays/cpu"), "ConfigMap")["data"])
    (bound,) = re.findall(r"> (\d+)$", alerts()["GraftQueueLong"]["expr"])
    assert int(bound) == settings.max_queue_size * 3 // 4


def test_reasons_endpoints_and_time_limit_are_those_of_the_code() -> None:
    text = PLAIN.read_text()
    codes = {kind.code for kind in RequestError.__subclasses__()}
    reasons = {code for codes in re.findall(r'reason=~?"(.*?)"', text) for code in codes.split("|")}
    assert reasons
    assert reasons <= codes
    (pattern,) = set(re.findall(r'endpoint=~"(.*?)"', text))
    chosen = {row.path for row in ALL_ENDPOINTS if re.fullmatch(pattern, row.path)}
    assert chosen == {
        "/predict",
        "/v2/models/{name}/infer",
        "/v2/models/{name}/versions/{version}/infer",
    }
    (limit,) = set(re.findall(r'le="(.*?)"', text))
    buckets = Metrics(CollectorRegistry()).request_seconds._upper_bounds
    assert limit in {str(bucket) for bucket in buckets}


def test_job_names_are_those_of_the_monitors_and_the_configuration(
    render: Render, find: Find
) -> None:
    manifests = render("overlays/monitoring")
    pods = find(manifests, "PodMonitor")["metadata"]
    scrapes = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    names = {
        find(render("overlays/cpu"), "Service")["metadata"]["name"],
        f"{pods['namespace']}/{pods['name']}",
        *(scrape["job_name"] for scrape in scrapes),
    }
    patterns = set(re.findall(r'job=~"(.*?)"', PLAIN.read_text()))
    for pattern in patterns:
        assert all(re.fullmatch(pattern, name) for name in names), pattern
    assert len(patterns) == 1
