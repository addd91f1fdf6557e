"""The state in one process, without BentoML; reloading is in http/test_reloading.py."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from service.errors import BundleError, Unauthorized
from service.state import ServiceState


def test_a_state_holds_what_handlers_need(make_state: Any, tiny_bundle: Any, draw: Any) -> None:
    state: ServiceState = make_state(api_keys="secret", max_upload_bytes=70_000_000)
    assert state.model.manifest == tiny_bundle.manifest
    assert state.upload_quota.limit_bytes == 70_000_000
    assert not state.is_draining
    with pytest.raises(Unauthorized):
        state.api_keys.check({})
    assert asyncio.run(state.model.classify(draw("blue")))["label"] == "blue"
    assert b"graft_pictures_total 1.0" in state.metrics.exposition()


def test_reloading_an_unchanged_model_keeps_it(state: ServiceState) -> None:
    model = state.model
    assert asyncio.run(state.reload()) == model.manifest
    assert state.model is model


def test_a_failed_reload_keeps_the_model(make_state: Any, tmp_path: Any, draw: Any) -> None:
    state: ServiceState = make_state()
    model = state.model
    state.settings = state.settings.model_copy(update={"model": str(tmp_path / "nothing")})
    with pytest.raises(BundleError):
        asyncio.run(state.reload())
    assert state.model is model
    assert asyncio.run(state.model.classify(draw("red")))["label"] == "red"
