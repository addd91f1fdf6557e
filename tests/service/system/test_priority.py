from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.system.priority import put_back, put_last

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these priorities")


@pytest.fixture
def process_id() -> Iterator[int]:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        yield process.pid
        process.kill()


def autogroup(process_id: int) -> str:
    """The nice value of the process's session; 19 where Linux does not group by session."""
    try:
        return Path(f"/proc/{process_id}/autogroup").read_text().split()[-1]
    except OSError:
        return "19"


def test_a_process_is_put_last_and_back(process_id: int) -> None:
    memory = Path(f"/proc/{process_id}/oom_score_adj")
    normal = memory.read_text()
    put_last(process_id)
    assert os.sched_getscheduler(process_id) == os.SCHED_IDLE
    assert memory.read_text() == "1000\n"
    assert autogroup(process_id) == "19"
    put_back(process_id)
    assert os.sched_getscheduler(process_id) == os.SCHED_OTHER
    assert normal <= memory.read_text()


def test_a_process_that_has_ended_is_no_error(process_id: int) -> None:
    os.kill(process_id, 9)
    os.waitpid(process_id, 0)
    put_last(process_id)
    put_back(process_id)
