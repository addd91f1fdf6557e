from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import pytest
from bentoml._internal.configuration.containers import BentoMLContainer

from service.app import Classifier
from service.errors import SettingError
from service.http.bento_options import check_bento_options, options_without_effect
from service.settings import Settings
from tests.service.conftest import RefuseToServe


def config() -> dict[str, Any]:
    """The service's configuration as BentoML merges it by default."""
    Classifier.inject_config()
    return dict(BentoMLContainer.config.services["graft"].get())


def test_bentomls_defaults_are_accepted() -> None:
    assert options_without_effect(config()) == []
    check_bento_options(Settings())


@pytest.mark.parametrize(
    ("options", "alternative"),
    [
        ({"traffic": {"timeout": 5}}, "GRAFT_DEADLINE_SECONDS"),
        ({"traffic": {"timeout": 60, "max_concurrency": 4}}, "GRAFT_MAX_QUEUE_SIZE"),
        ({"traffic": {"concurrency": 4}}, "GRAFT_MAX_QUEUE_SIZE"),
        ({"http": {"response": {"trace_id": True}}}, "X-Request-ID"),
        ({"logging": {"access": {"enabled": True}}}, "GRAFT_ACCESS_LOG=1"),
        ({"metrics": {"enabled": True}}, "/metrics"),
    ],
)
def test_an_option_without_effect_is_reported_with_its_alternative(
    options: dict[str, Any], alternative: str
) -> None:
    (line,) = options_without_effect({**config(), **options})
    assert "has no effect on Graft" in line
    assert alternative in line


def test_a_command_line_timeout_is_refused() -> None:
    config()
    command = click.Command("serve", params=[click.Option(["--timeout"], type=int)])
    with command.make_context("serve", ["--timeout", "5"]), pytest.raises(SettingError) as refused:
        check_bento_options(Settings())
    assert "--timeout (BENTOML_TIMEOUT) has no effect" in str(refused.value)


@pytest.mark.parametrize(("seconds", "is_refused"), [("0", True), ("5", False)])
def test_a_keep_alive_that_bentoml_ignores_is_refused(seconds: str, is_refused: bool) -> None:
    config()
    option = "--timeout-keep-alive"
    command = click.Command("serve", params=[click.Option([option], type=int)])
    with (
        command.make_context("serve", [option, seconds]),
        pytest.raises(SettingError, match=r"use 1 \(second\) or more")
        if is_refused
        else nullcontext(),
    ):
        check_bento_options(Settings())


@pytest.mark.slow
def test_the_service_does_not_start_with_an_option_without_effect(
    refuse_to_serve: RefuseToServe, tiny_bundle: Any
) -> None:
    options = "services.graft.traffic.timeout=5 services.graft.logging.access.enabled=true"
    code, log = refuse_to_serve(Path(tiny_bundle.path), BENTOML_CONFIG_OPTIONS=options)
    assert code == 1
    assert "graft: traffic.timeout=5 in BentoML's configuration has no effect on Graft" in log
    assert "logging.access.enabled=True" in log
