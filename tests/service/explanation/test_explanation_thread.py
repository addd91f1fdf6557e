from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from service.bundle.reading import Bundle
from service.engine.predictor import Predictor
from service.errors import BundleError, NotExplainable, Overloaded
from service.explanation.explainer import Explainer, Explanation
from service.explanation.explanation_thread import MAX_EXPLANATIONS, ExplanationThread

IMAGE, PROBABILITIES = np.zeros((32, 32, 3), np.uint8), np.array([0, 1, 0], np.float32)


@pytest.fixture
def thread(tiny_bundle: Bundle) -> Iterator[ExplanationThread]:
    thread = ExplanationThread(Explainer(Predictor(tiny_bundle)))
    yield thread
    thread.close()


def test_the_result_is_what_the_caller_makes_of_the_explanation(thread: ExplanationThread) -> None:
    future = thread.submit(IMAGE, PROBABILITIES, None, lambda explanation: explanation.label)
    assert future.result() == "green"
    drawn = thread.submit(IMAGE, PROBABILITIES, "red", Explanation.draw)
    assert drawn.result().startswith(b"\x89PNG")


def test_one_explanation_runs_at_a_time_and_waiting_ones_can_be_cancelled(
    thread: ExplanationThread,
) -> None:
    blocked, started = threading.Event(), threading.Event()

    def block(explanation: Explanation) -> str:
        started.set()
        assert blocked.wait(5)
        return threading.current_thread().name

    first = thread.submit(IMAGE, PROBABILITIES, None, block)
    second = thread.submit(IMAGE, PROBABILITIES, None, lambda _: threading.current_thread().name)
    third = thread.submit(IMAGE, PROBABILITIES, None, lambda _: "never")
    assert started.wait(5)
    assert not second.running()
    assert third.cancel()
    blocked.set()
    assert first.result() == second.result() != threading.current_thread().name


def test_only_a_few_explanations_are_admitted(thread: ExplanationThread) -> None:
    with ExitStack() as stack:
        for _ in range(MAX_EXPLANATIONS):
            stack.enter_context(thread.admit())
        with pytest.raises(Overloaded, match="4 explanations are in progress"), thread.admit():
            pass
    with thread.admit():  # the places are free again
        pass


def test_a_client_does_not_see_the_paths_of_the_server(
    thread: ExplanationThread, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> Explanation:
        raise BundleError("/srv/models/x: model.onnx was replaced")

    monkeypatch.setattr(Explainer, "explain", fail)
    with pytest.raises(NotExplainable, match="cannot be read; the server's log") as caught:
        thread.submit(IMAGE, PROBABILITIES, None, Explanation.draw).result()
    assert "/srv" not in str(caught.value)
    assert "/srv/models/x" in caplog.text
