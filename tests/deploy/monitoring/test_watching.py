"""A real Prometheus watches a real service: queries have results, an outage raises its alert."""

from __future__ import annotations

import io
import json
import math
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from PIL import Image

from tests.service.conftest import Serve, Server

ROOT = Path(__file__).parents[3]
SPEED = 100
"""Windows and waits are divided by this number: 5 minutes become 3 seconds."""
INTERVAL = "500ms"
"""Time between scrapes; the shortest window must contain two of them."""
LONGEST_SECONDS = "180"
"""Prometheus ends after this time, even if the test was killed."""

JPEG, PNG = ({"Content-Type": f"image/{kind}"} for kind in ("jpeg", "png"))

pytestmark = pytest.mark.slow


def speed_up(rules: str) -> str:
    """Divide the windows and waits of rules (`[5m]`, `for: 10m`) by SPEED."""

    def shorten(match: re.Match[str]) -> str:
        seconds = int(match[2]) * {"s": 1, "m": 60, "h": 3600}[match[3]]
        return f"{match[1]}{seconds * 1000 // SPEED}ms{match[4]}"

    return re.sub(r"(\[|\bfor: )(\d+)([smh])(\]|\n)", shorten, rules)


class Prometheus:
    """The HTTP API of a running Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url

    def _get(self, path: str, **query: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=query, timeout=30).json()
        assert answer["status"] == "success", (query, answer)
        return answer["data"]

    def values(self, query: str) -> list[float]:
        """Return the values of all series of a query, without NaN."""
        results = self._get("query", query=query)["result"]
        values = [float(result["value"][1]) for result in results]
        return [value for value in values if not math.isnan(value)]

    def alerts(self) -> dict[str, str]:
        """Return the summaries of the firing alerts by their names."""
        return {
            alert["labels"]["alertname"]: alert["annotations"]["summary"]
            for alert in self._get("alerts")["alerts"]
            if alert["state"] == "firing"
        }

    def rules(self) -> dict[str, str]:
        """Return the health of each rule by its name: ok, unknown or err."""
        groups = self._get("rules")["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}


@contextmanager
def watched(server: Server, folder: Path) -> Iterator[Prometheus]:
    """Run Prometheus with deploy/prometheus.yml, but with other times and another target."""
    if not shutil.which("prometheus"):
        pytest.skip("no prometheus here (Debian's package of that name)")
    configuration = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL}
    (scrape,) = configuration["scrape_configs"]
    scrape["scrape_timeout"] = INTERVAL
    scrape["static_configs"] = [{"targets": [server.url.removeprefix("http://")]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    (rules,) = configuration["rule_files"]
    (folder / rules).write_text(speed_up((ROOT / "deploy" / rules).read_text()))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["timeout", LONGEST_SECONDS, "prometheus", f"--config.file={folder}/prometheus.yml"]
    command += [f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: is_answering(f"{url}/-/ready"), (folder / "prometheus.log").read_text)
        yield Prometheus(url)
    finally:
        process.terminate()
        process.wait(30)


def is_answering(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def wait_for(
    condition: Callable[[], object], explain: Callable[[], object], seconds: int = 60
) -> None:
    """Wait until a condition holds; fail with an explanation if it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.2)


@contextmanager
def load(send: Callable[[], object], threads: int = 1) -> Iterator[None]:
    """Call `send` again and again, in threads, until the block ends."""
    stop = threading.Event()

    def keep_sending() -> None:
        while not stop.wait(0.05):
            send()

    running = [threading.Thread(target=keep_sending, daemon=True) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in running:
            thread.join(30)


def dashboard_queries() -> Iterator[str]:
    """Yield every query of the dashboard, for all namespaces."""
    page = json.loads((ROOT / "deploy/grafana/graft.json").read_text())
    (all_namespaces,) = (
        variable["allValue"] for variable in page["templating"]["list"] if "allValue" in variable
    )
    for panel in page["panels"]:
        for target in panel["targets"]:
            yield target["expr"].replace("$namespace", all_namespaces)


def documented_series() -> list[str]:
    """List the series of the table in docs/serving.md; of a histogram, its count.

    Those of a challenger are left out: they exist only with GRAFT_SHADOW.
    """
    page = (ROOT / "docs/serving.md").read_text()
    table = page.partition("<!-- metrics -->")[2].partition("<!--")[0]
    rows = re.findall(r"^\| `(graft_(?!shadow)\w+)` \| (\w+)", table, re.MULTILINE)
    return [f"{name}_count" if kind == "histogram" else name for name, kind in rows]


def alert_queries() -> list[str]:
    groups = yaml.safe_load((ROOT / "deploy/alerts.yaml").read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def alert_selectors() -> set[str]:
    """Return the selectors of the alerts, without those of failures, which have no series yet."""
    chosen = re.findall(r"\b(?:graft_\w+|up)(?:{.*?})?", " ".join(alert_queries()))
    return {selector for selector in chosen if "status=" not in selector}


def test_every_query_has_a_result_and_an_outage_raises_alerts(
    tmp_path: Path, serve: Serve, draw: Callable[..., bytes]
) -> None:
    picture = draw("red")
    with (
        serve(BENTOML_CONFIG_OPTIONS="services.graft.workers=2") as server,
        watched(server, tmp_path) as prometheus,
    ):
        assert len(server.workers()) == 2

        def send() -> None:
            for content in (picture, picture[:99]):
                httpx.post(f"{server.url}/predict", content=content, headers=JPEG, timeout=60)
            files = [("images", picture)] * 3
            httpx.post(f"{server.url}/predict_batch", files=files, timeout=60)

        queries = [*dashboard_queries(), *documented_series(), *alert_selectors()]
        assert len(queries) > 25
        with load(send):
            for query in queries:
                wait_for(lambda query=query: prometheus.values(query), lambda query=query: query)
            # One picture of five is damaged.
            wait_for(lambda: "GraftBadPictures" in prometheus.alerts(), prometheus.alerts)
        (workers,) = prometheus.values("sum(graft_model_info)")
        assert workers == 1, "all workers are one target"
        for query in alert_queries():
            prometheus.values(query)
        wait_for(lambda: set(prometheus.rules().values()) == {"ok"}, prometheus.rules)
        outage = {"GraftGone", "GraftUnreachable"}
        wait_for(lambda: not outage & set(prometheus.alerts()), prometheus.alerts)
        server.process.terminate()
        server.process.wait(90)
        wait_for(lambda: outage <= set(prometheus.alerts()), prometheus.alerts)
        address = server.url.removeprefix("http://")
        assert prometheus.alerts()["GraftUnreachable"] == f"{address} does not answer Prometheus"


def test_overload_and_failures_raise_alerts_that_end(tmp_path: Path, serve: Serve) -> None:
    slow = io.BytesIO()
    Image.new("RGB", (4000, 4000)).save(slow, "PNG", compress_level=1)
    settings = {"GRAFT_MAX_QUEUE_SIZE": "1", "GRAFT_MAX_PICTURES": "1"}
    short_deadline = {"GRAFT_DEADLINE_SECONDS": "0.05"}
    with serve(**settings, **short_deadline) as server, watched(server, tmp_path) as prometheus:

        def send() -> int:
            url = f"{server.url}/predict"
            return httpx.post(url, content=slow.getvalue(), headers=PNG, timeout=60).status_code

        assert send() == 504
        wait_for(lambda: prometheus.values("up == 1"), list)
        raised: dict[str, str] = {}

        def are_raised() -> bool:
            raised.update(prometheus.alerts())
            return {"GraftRefusing", "GraftFailing"} <= set(raised)

        with load(send, threads=4):
            wait_for(are_raised, lambda: raised)
        assert re.fullmatch(r"[\d.]+% of the requests are answered 5xx", raised["GraftFailing"])
        expected = r"[\d.]+% of the requests are refused: overloaded"
        assert re.fullmatch(expected, raised["GraftRefusing"])
        with load(lambda: httpx.get(f"{server.url}/model", timeout=60)):
            wait_for(lambda: "GraftRefusing" not in prometheus.alerts(), prometheus.alerts)
