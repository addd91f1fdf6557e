from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from bentoml._internal.configuration.containers import BentoMLContainer

from service.server.bentoml_configuration import worker_count
from service.system.resources import usable_cores


@pytest.fixture
def configure() -> Iterator[Any]:
    original = BentoMLContainer.config.get()

    def configure(services: dict[str, Any]) -> None:
        BentoMLContainer.config.set({**original, "services": services})

    yield configure
    BentoMLContainer.config.set(original)


@pytest.mark.parametrize(
    ("services", "count"),
    [
        ({}, 1),
        ({"other": {"workers": 3}}, 1),
        ({"graft": {}}, 1),
        ({"graft": {"workers": None}}, 1),
        ({"graft": {"workers": 2}}, 2),
        ({"graft": {"workers": "cpu_count"}}, usable_cores()),
    ],
)
def test_workers_are_counted_as_bentoml_will_start_them(
    configure: Any, services: dict[str, Any], count: int
) -> None:
    configure(services)
    assert worker_count() == count


def test_bentoml_stores_the_configuration_where_we_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is private: another version of BentoML may store it elsewhere."""
    from service.app import Classifier

    original = BentoMLContainer.config.get()
    overrides = {"services": {"graft": {"workers": 7}}}
    monkeypatch.setenv("BENTOML_CONFIG_OVERRIDES", json.dumps(overrides))
    Classifier.inject_config()
    try:
        assert worker_count() == 7
    finally:
        BentoMLContainer.config.set(original)
