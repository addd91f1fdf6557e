from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.system import interrupts
from service.system.interrupts import INTERRUPTED, cleaned, ended_by

ROOT = Path(__file__).parents[3]
DEAF = f"""
import hashlib, os, pathlib, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from service.system.interrupts import cleaned, ended_by
codes = {{signal.SIGINT: 130, signal.SIGTERM: 75}}
with ended_by(codes, lambda: "stopped"), cleaned(pathlib.Path(sys.argv[1]).unlink):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # as while TensorFlow loads
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # a call that hears no signal for an hour
"""


@pytest.mark.parametrize(
    ("number", "times", "code"),
    [(signal.SIGINT, 1, 130), (signal.SIGINT, 2, 130), (signal.SIGTERM, 1, 75)],
)
def test_a_call_that_hears_nothing_is_ended_and_cleaned_up(
    tmp_path: Path, number: signal.Signals, times: int, code: int
) -> None:
    half = tmp_path / "half"
    half.touch()
    process = subprocess.Popen(
        [sys.executable, "-c", DEAF, str(half)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,  # noqa: PLW1509  # no threads run here
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    for _ in range(times):
        process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (code, "stopped\n")
    assert not half.exists()


def hear_ctrl_c() -> None:
    """Shells let what they start in the background ignore it, tests included."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_handlers_are_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with ended_by({signal.SIGTERM: INTERRUPTED}, str):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with ended_by({signal.SIGTERM: INTERRUPTED}, str):
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_block_that_is_over_is_not_cleaned_up() -> None:
    with cleaned(list):
        assert interrupts._cleaners == [list]
    assert not interrupts._cleaners
