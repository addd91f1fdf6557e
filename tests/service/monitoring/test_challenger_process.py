"""The loop of the process, in this process; tests of a real process are in test_challenger.py."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from service.bundle.reading import Bundle
from service.engine.predictor import Predictor
from service.errors import BundleError
from service.imaging import Limits
from service.monitoring.challenger_process import SIZE, answer_pictures, load


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Bundle) -> Predictor:
    return load(tiny_bundle.path, tiny_bundle.manifest.id)


def answers(predictor: Predictor, sent: bytes, limits: Limits | None = None) -> list[Any]:
    """What the process answers to bytes that it reads from its socket."""
    received = io.BytesIO()
    stream = io.BufferedRWPair(io.BytesIO(sent), received)
    answer_pictures(stream, predictor, limits or Limits())
    return [json.loads(line) for line in received.getvalue().splitlines()]


def message(data: bytes) -> bytes:
    return SIZE.pack(len(data)) + data


def test_each_picture_gets_a_label_and_its_processor_time(predictor: Predictor, draw: Any) -> None:
    colours = ["green", "red", "green"]
    replies = answers(predictor, b"".join(message(draw(colour)) for colour in colours))
    assert [reply["label"] for reply in replies] == colours
    assert all(0 < reply["seconds"] < 1 for reply in replies)


def test_a_picture_that_cannot_be_decoded_gets_an_error(predictor: Predictor, draw: Any) -> None:
    refused, accepted = answers(predictor, message(b"text") + message(draw("blue")))
    assert set(refused) == {"error"}
    assert "not a picture" in refused["error"]
    assert accepted["label"] == "blue"


def test_the_limits_of_the_service_apply(predictor: Predictor, draw: Any) -> None:
    (reply,) = answers(predictor, message(draw()), Limits(pixels=100))
    assert "at most 100 are accepted" in reply["error"]


@pytest.mark.parametrize("length", [3, SIZE.size, SIZE.size + 5])
def test_a_picture_that_is_cut_short_ends_the_loop(
    predictor: Predictor, draw: Any, length: int
) -> None:
    assert answers(predictor, message(draw())[:length]) == []


class ClosedByOtherSide(io.BytesIO):
    def write(self, data: Any) -> int:
        raise BrokenPipeError


def test_the_loop_ends_if_nobody_waits_for_the_answer(predictor: Predictor, draw: Any) -> None:
    stream = io.BufferedRWPair(io.BytesIO(message(draw())), ClosedByOtherSide())
    answer_pictures(stream, predictor, Limits())
    assert stream.read() == b""


def test_a_bundle_that_was_replaced_is_refused(tiny_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="was replaced"):
        load(tiny_bundle.path, "0" * 64)
