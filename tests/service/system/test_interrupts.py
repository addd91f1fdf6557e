from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.system import interrupts
from service.system.interrupts import INTERRUPTED, cleanup_on_signal, exit_on_signals

ROOT = Path(__file__).parents[3]
BLOCKING_SCRIPT = f"""
import hashlib, os, pathlib, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from service.system.interrupts import cleanup_on_signal, exit_on_signals
codes = {{signal.SIGINT: 130, signal.SIGTERM: 75}}
cleanup = cleanup_on_signal(pathlib.Path(sys.argv[1]).unlink)
with exit_on_signals(codes, lambda: "stopped"), cleanup:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # as while TensorFlow loads
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # blocks signals for an hour
"""


@pytest.mark.parametrize(
    ("signal_number", "times", "code"),
    [(signal.SIGINT, 1, 130), (signal.SIGINT, 2, 130), (signal.SIGTERM, 1, 75)],
)
def test_a_blocking_call_is_ended_and_cleaned_up(
    tmp_path: Path, signal_number: signal.Signals, times: int, code: int
) -> None:
    partial_file = tmp_path / "half"
    partial_file.touch()
    process = subprocess.Popen(
        [sys.executable, "-c", BLOCKING_SCRIPT, str(partial_file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=restore_sigint,  # noqa: PLW1509  # no threads run here
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    for _ in range(times):
        process.send_signal(signal_number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (code, "stopped\n")
    assert not partial_file.exists()


def restore_sigint() -> None:
    """Let Ctrl+C stop the child: processes that a shell starts in the background ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_handlers_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    previous_handler = signal.getsignal(signal.SIGTERM)
    with exit_on_signals({signal.SIGTERM: INTERRUPTED}, str):
        assert signal.getsignal(signal.SIGTERM) is not previous_handler
    assert signal.getsignal(signal.SIGTERM) is previous_handler


def test_ignored_signals_stay_ignored() -> None:
    previous_handler = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with exit_on_signals({signal.SIGTERM: INTERRUPTED}, str):
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, previous_handler)


def test_cleanup_is_forgotten_after_the_block() -> None:
    with cleanup_on_signal(list):
        assert interrupts._cleanups == [list]
    assert not interrupts._cleanups
