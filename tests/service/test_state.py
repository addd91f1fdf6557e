"""The state in one process, without BentoML; reloading is in http/test_reloading.py."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np
import pytest

from service.errors import BundleError, RequestError, Unauthorized
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


def wait_for(state: ServiceState, line: str) -> None:
    deadline = time.monotonic() + 20
    while line not in state.metrics.exposition().decode():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_challenger_sees_pictures_and_never_answers(
    make_state: Any, tiny_bundle: Any, draw: Any, fake_challengers: list[Any]
) -> None:
    state = make_state(shadow=str(tiny_bundle.path), shadow_share=1)
    pictures = [draw("red"), draw("blue")]
    answers = [asyncio.run(state.model.classify(picture)) for picture in pictures]
    wait_for(state, 'graft_shadow_pictures_total{result="disagree"} 1.0')
    assert [answer["label"] for answer in answers] == ["red", "blue"]
    (challenger,) = fake_challengers
    assert challenger.pictures == pictures
    wait_for(state, 'graft_shadow_pictures_total{result="agree"} 1.0')
    state.close()
    assert not challenger.is_running


def test_a_challenger_waits_until_requests_are_answered(
    make_state: Any, tiny_bundle: Any, draw: Any, fake_challengers: list[Any]
) -> None:
    state = make_state(shadow=str(tiny_bundle.path), shadow_share=1)
    with state.model.admit(1):
        asyncio.run(state.model.classify(draw("red")))
        time.sleep(0.1)
        assert fake_challengers[0].pictures == []
    wait_for(state, 'graft_shadow_pictures_total{result="agree"} 1.0')


def test_refused_and_decoded_pictures_are_not_shown_to_the_challenger(
    make_state: Any, tiny_bundle: Any, draw: Any, fake_challengers: list[Any]
) -> None:
    state = make_state(shadow=str(tiny_bundle.path), shadow_share=1)
    with pytest.raises(RequestError):
        asyncio.run(state.model.classify(b"text"))
    asyncio.run(state.model.classification(np.zeros((32, 32, 3), np.uint8)))
    asyncio.run(state.model.classify(draw("red")))
    wait_for(state, 'graft_shadow_pictures_total{result="agree"} 1.0')
    assert fake_challengers[0].pictures == [draw("red")]


def test_without_a_challenger_there_is_no_shadow(
    state: ServiceState, fake_challengers: list[Any]
) -> None:
    assert state.shadow is None
    assert fake_challengers == []
    assert state.versions == state.model.manifest.version


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


def test_a_failed_reload_still_starts_an_ended_challenger(
    make_state: Any, tiny_bundle: Any, tmp_path: Any, fake_challengers: list[Any]
) -> None:
    state: ServiceState = make_state(shadow=str(tiny_bundle.path), shadow_share=1)
    fake_challengers[0].is_running = False
    state.settings = state.settings.model_copy(update={"model": str(tmp_path / "nothing")})
    with pytest.raises(BundleError):
        asyncio.run(state.reload())
    assert [challenger.is_running for challenger in fake_challengers] == [False, True]
