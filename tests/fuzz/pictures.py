"""Mutated pictures through the decoder, in a process that may die of them.

    python tests/fuzz/pictures.py [COUNT] [SEED] [FIRST]

Each picture must end in pixels or in a refusal, within 2 s of processor time, without a word on
stderr, and give the same pixels again when fresh memory is filled with another byte. The memory at
the end must be within 64 MB of what it was after the first tenth. What fails is kept in
artifacts/fuzz, and the exit code is 1. The last line of stdout is the tally, as JSON.
"""

from __future__ import annotations

import collections
import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import psutil  # noqa: E402
from mutations import mutated  # noqa: E402

from service.errors import RequestError  # noqa: E402
from service.imaging import decode  # noqa: E402

FAILED = ROOT / "artifacts/fuzz"
SIZE, MAX_PIXELS = 96, 1_000_000
GROWTH_BYTES = 64_000_000
_M_PERTURB = -6  # of glibc's mallopt: what fresh memory is filled with


def outcome(data: bytes, fill: int) -> tuple[str, bytes]:
    """Decode a picture -> what came of it, and its pixels; `bug: ...` is what must not come."""
    signal.setitimer(signal.ITIMER_PROF, 2)  # both end the process, native code or not
    signal.setitimer(signal.ITIMER_REAL, 60)
    if sys.platform == "linux":
        ctypes.CDLL(None).mallopt(_M_PERTURB, fill)
    try:
        pixels = decode(data, SIZE, MAX_PIXELS)
    except RequestError as error:
        return error.code, b""
    except BaseException as error:
        return f"bug: {type(error).__name__}: {error}", b""
    if pixels.shape != (SIZE, SIZE, 3) or pixels.dtype != "uint8":
        return f"bug: {pixels.dtype} {pixels.shape}", b""
    return "pixels", pixels.tobytes()


def work(seed: int, first: int, last: int) -> None:
    """Decode pictures first..last: a line before and after each, for whoever watches."""
    said, process, warm_bytes = os.fstat(2).st_size, psutil.Process(), 0
    for number in range(first, last):
        print("start", number, flush=True)
        name, data = mutated(seed, number)
        what, pixels = outcome(data, 0x55)
        if pixels and outcome(data, 0xAA)[1] != pixels:
            what = "bug: other pixels the second time"
        if os.fstat(2).st_size != said:
            said = os.fstat(2).st_size
            what = "bug: a word on stderr"
        print("end", json.dumps([what, name]), flush=True)
        if number == first + (last - first) // 10:
            warm_bytes = process.memory_info().rss
    if process.memory_info().rss - warm_bytes > GROWTH_BYTES:
        print("end", json.dumps(["bug: memory grew", f"{warm_bytes:,} bytes before"]), flush=True)


def watch(seed: int, first: int, last: int) -> collections.Counter[str]:
    """Let workers decode first..last, the next one from behind where one died -> outcomes."""
    tally: collections.Counter[str] = collections.Counter()
    FAILED.mkdir(parents=True, exist_ok=True)
    while first < last:
        with (FAILED / f"stderr-{seed}-{first}.txt").open("wb") as stderr:
            worker = subprocess.Popen(
                [sys.executable, __file__, "--work", str(seed), str(first), str(last)],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
            assert worker.stdout
            for line in worker.stdout:
                kind, _, rest = line.partition(" ")
                if kind == "start":
                    first = int(rest)
                    continue
                what, name = json.loads(rest)
                count(tally, seed, first, what, name)
        first += 1
        if (code := worker.wait()) or kind == "start":
            count(tally, seed, first - 1, f"bug: the process ended with {code}", "")
    return tally


def count(tally: collections.Counter[str], seed: int, number: int, what: str, name: str) -> None:
    tally[what] += 1
    if what.startswith("bug"):
        made, data = mutated(seed, number)
        (FAILED / f"{seed}-{number}.bin").write_bytes(data)
        print(f"{seed}-{number}: {what} ({name or made})", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(*map(int, sys.argv[2:]))
    else:
        given = dict(enumerate(map(int, sys.argv[1:])))
        begin = given.get(2, 0)
        outcomes = watch(given.get(1, 0), begin, begin + given.get(0, 100_000))
        print(json.dumps(outcomes))
        sys.exit(any(what.startswith("bug") for what in outcomes))
