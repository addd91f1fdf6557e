from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import pytest
from bentoml._internal.configuration.containers import BentoMLContainer

from service.app import Classifier
from service.errors import SettingError
from service.http.bento_switches import check_switches, ignored
from service.settings import Settings
from tests.service.conftest import RefuseToServe


def config() -> dict[str, Any]:
    """As BentoML puts it together where nobody set anything."""
    Classifier.inject_config()
    return dict(BentoMLContainer.config.services["graft"].get())


def test_what_bentoml_has_by_default_is_no_switch() -> None:
    assert ignored(config()) == []
    check_switches(Settings())


@pytest.mark.parametrize(
    ("switches", "instead"),
    [
        ({"traffic": {"timeout": 5}}, "GRAFT_DEADLINE_SECONDS"),
        ({"traffic": {"timeout": 60, "max_concurrency": 4}}, "GRAFT_MAX_QUEUE_SIZE"),
        ({"traffic": {"concurrency": 4}}, "GRAFT_MAX_QUEUE_SIZE"),
        ({"http": {"response": {"trace_id": True}}}, "X-Request-ID"),
        ({"logging": {"access": {"enabled": True}}}, "GRAFT_ACCESS_LOG=1"),
        ({"metrics": {"enabled": True}}, "/metrics"),
    ],
)
def test_a_switch_that_would_do_nothing_is_told_with_what_does(
    switches: dict[str, Any], instead: str
) -> None:
    (line,) = ignored({**config(), **switches})
    assert "would do nothing here" in line
    assert instead in line


def test_the_option_of_the_command_line_is_one_of_them() -> None:
    config()
    command = click.Command("serve", params=[click.Option(["--timeout"], type=int)])
    with command.make_context("serve", ["--timeout", "5"]), pytest.raises(SettingError) as refused:
        check_switches(Settings())
    assert "--timeout (BENTOML_TIMEOUT) would do nothing" in str(refused.value)


@pytest.mark.parametrize(("seconds", "is_refused"), [("0", True), ("5", False)])
def test_a_keep_alive_that_bentoml_drops_is_refused(seconds: str, is_refused: bool) -> None:
    config()
    option = "--timeout-keep-alive"
    command = click.Command("serve", params=[click.Option([option], type=int)])
    with (
        command.make_context("serve", [option, seconds]),
        pytest.raises(SettingError, match="1 s is the least") if is_refused else nullcontext(),
    ):
        check_switches(Settings())


@pytest.mark.slow
def test_the_service_does_not_start_with_such_a_switch(
    refuse_to_serve: RefuseToServe, tiny_bundle: Any
) -> None:
    options = "services.graft.traffic.timeout=5 services.graft.logging.access.enabled=true"
    code, said = refuse_to_serve(Path(tiny_bundle.path), BENTOML_CONFIG_OPTIONS=options)
    assert code == 1
    assert "graft: traffic.timeout=5 of BentoML's configuration would do nothing here" in said
    assert "logging.access.enabled=True" in said
