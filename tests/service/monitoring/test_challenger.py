"""A challenger in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.errors import BundleError
from service.imaging import Limits
from service.monitoring.challenger import Challenger

pytestmark = pytest.mark.slow  # each challenger takes a second to start


@pytest.fixture(scope="module")
def challenger(tiny_bundle: Bundle) -> Iterator[Challenger]:
    challenger = Challenger(tiny_bundle, Limits())
    yield challenger
    challenger.close()


@pytest.fixture
def doomed(tiny_bundle: Bundle) -> Iterator[Challenger]:
    """A challenger for one test, which may end it."""
    challenger = Challenger(tiny_bundle, Limits(pixels=100_000_000))
    yield challenger
    challenger.close()


def test_it_classifies_one_picture_after_the_other(challenger: Challenger, draw: Any) -> None:
    for colour in ("red", "blue"):
        opinion = challenger.classify(draw(colour))
        assert (opinion.label, opinion.error) == (colour, "")
        assert 0 < opinion.seconds < 1
    assert "not a picture" in challenger.classify(b"text").error
    assert challenger.classify(draw("green")).label == "green"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this priority")
def test_all_other_processes_go_first(challenger: Challenger) -> None:
    pid = challenger._process.pid
    assert os.sched_getscheduler(pid) == os.SCHED_IDLE
    assert os.getsid(pid) == pid


def test_signals_for_the_service_do_not_end_it(challenger: Challenger, draw: Any) -> None:
    """A service manager may send SIGTERM to all processes while the service drains."""
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(challenger._process.pid, number)
    assert challenger.classify(draw("red")).label == "red"


def test_it_ends_with_the_service(doomed: Challenger) -> None:
    """The system closes the socket of a service that is killed."""
    process = psutil.Process(doomed._process.pid)
    doomed._replies.close()
    doomed._connection.close()
    psutil.wait_procs([process], timeout=60)
    assert not process.is_running()


def test_an_ended_process_is_an_error(doomed: Challenger, draw: Any) -> None:
    assert doomed.is_running
    doomed._process.kill()
    for _ in range(2):
        with pytest.raises(EOFError, match="its process has ended"):
            doomed.classify(draw())
    assert not doomed.is_running


def test_closing_does_not_wait_for_a_picture(doomed: Challenger, slow_picture: bytes) -> None:
    errors: list[BaseException] = []

    def classify() -> None:
        try:
            doomed.classify(slow_picture)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=classify)
    thread.start()
    time.sleep(0.1)
    started = time.monotonic()
    doomed.close()
    thread.join()
    assert errors
    assert time.monotonic() - started < 3


def test_a_model_that_cannot_be_loaded_is_refused(staging: Path, manifest: Manifest) -> None:
    path = staging / "golden/answers.json"
    answers = json.loads(path.read_text())
    path.write_text(json.dumps({name: list(reversed(row)) for name, row in answers.items()}))
    bundle = seal(staging, manifest, staging.parent)
    with pytest.raises(BundleError, match=r"\(GRAFT_SHADOW\): .* does not reproduce its answer"):
        Challenger(bundle, Limits())


def test_a_process_that_ends_at_once_is_an_error(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises(BundleError, match=r"\(GRAFT_SHADOW\): its process has ended"):
        Challenger(tiny_bundle, Limits())
