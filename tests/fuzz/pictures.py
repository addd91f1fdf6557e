"""Decodes mutated pictures, or valid ones of every kind, in a process that may crash.

    python tests/fuzz/pictures.py mutated|drawn [COUNT] [SEED] [FIRST]

Each mutated picture must give pixels or a refusal, each drawn picture its own pixels or a refusal
that names its kind. Decoding must take at most 2 s of processor time, write nothing to stderr or
behind the decoder's buffer, and give the same pixels when new memory is filled with another byte.
At the end, memory must be within 64 MB of what it was after the first tenth. Pictures that fail are
kept in artifacts/fuzz, and the exit code is 1. The last line of stdout is a tally as JSON.
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

import numpy as np  # noqa: E402
import psutil  # noqa: E402
from drawn import Drawn, drawn  # noqa: E402
from mutations import mutated  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from service.errors import RequestError  # noqa: E402
from service.imaging import Limits, configure_process, decode  # noqa: E402
from service.imaging.readers import jpeg  # noqa: E402
from service.imaging.resizing import resize_to_square  # noqa: E402

FAILED = ROOT / "artifacts/fuzz"
SIZES, LIMITS = {"mutated": 96, "drawn": 48}, Limits(pixels=1_000_000)
GUARD = bytes(range(1, 256)) * 16
GROWTH_BYTES = 64_000_000
_M_PERTURB = -6  # option of glibc's mallopt: the byte that new memory is filled with


def make(source: str, seed: int, number: int) -> Drawn:
    if source == "drawn":
        return drawn(seed, number)
    return Drawn(*mutated(seed, number))


class GuardedAllocator:
    """Allocates the decoder's buffers, with a known pattern behind each."""

    def __init__(self) -> None:
        self.buffers: list[NDArray[np.uint8]] = []

    def __call__(self, size: int) -> NDArray[np.uint8]:
        memory = np.empty(size + len(GUARD), np.uint8)
        memory[size:] = np.frombuffer(GUARD, np.uint8)
        self.buffers.append(memory)
        return memory[:size]

    def is_intact(self) -> bool:
        return all(memory[-len(GUARD) :].tobytes() == GUARD for memory in self.buffers)


def outcome(picture: Drawn, size: int, fill: int) -> tuple[str, bytes]:
    """Decode a picture; return the outcome and the pixels. `bug: ...` is a failure."""
    signal.setitimer(signal.ITIMER_PROF, 2)  # both timers end the process, even in native code
    signal.setitimer(signal.ITIMER_REAL, 60)
    if sys.platform == "linux":
        ctypes.CDLL(None).mallopt(_M_PERTURB, fill)
    guarded = jpeg._allocate = GuardedAllocator()
    try:
        pixels = decode(picture.data, size, LIMITS)
    except RequestError as error:
        return _judge_refusal(picture, error), b""
    except BaseException as error:
        return f"bug: {type(error).__name__}: {error}", b""
    finally:
        del jpeg._allocate
        jpeg._allocate = _ALLOCATE
    if not guarded.is_intact():
        return "bug: written behind the decoder's buffer", b""
    if pixels.shape != (size, size, 3) or pixels.dtype != "uint8":
        return f"bug: {pixels.dtype} {pixels.shape}", b""
    return _judge_pixels(picture, pixels), pixels.tobytes()


_ALLOCATE = jpeg._allocate


def _judge_refusal(picture: Drawn, error: RequestError) -> str:
    if picture.pixels is not None or picture.refusal not in str(error):
        return f"bug: refused by: {error}"
    return error.code


def _judge_pixels(picture: Drawn, pixels: NDArray[np.uint8]) -> str:
    if picture.refusal:
        return f"bug: pixels, where `{picture.refusal}` is not read"
    if picture.pixels is not None:
        expected = resize_to_square(picture.pixels, len(pixels), 8).astype(int)
        difference = float(np.abs(pixels - expected).mean())
        if difference > picture.tolerance:
            return f"bug: pixels are {difference:.1f} levels from those drawn"
    return "pixels"


def work(source: str, seed: int, first: int, last: int) -> None:
    """Decode pictures first..last; print a line before and after each for `watch`."""
    configure_process()
    stderr_bytes, process, warm_bytes = os.fstat(2).st_size, psutil.Process(), 0
    for number in range(first, last):
        print("start", number, flush=True)
        picture = make(source, seed, number)
        result, pixels = outcome(picture, SIZES[source], 0x55)
        if pixels and outcome(picture, SIZES[source], 0xAA)[1] != pixels:
            result = "bug: different pixels the second time"
        if os.fstat(2).st_size != stderr_bytes:
            stderr_bytes = os.fstat(2).st_size
            result = "bug: output on stderr"
        print("end", json.dumps([result, picture.name]), flush=True)
        if number == first + (last - first) // 10:
            warm_bytes = process.memory_info().rss
    if process.memory_info().rss - warm_bytes > GROWTH_BYTES:
        print("end", json.dumps(["bug: memory grew", f"{warm_bytes:,} bytes before"]), flush=True)


def watch(source: str, seed: int, first: int, last: int) -> collections.Counter[str]:
    """Decode first..last in a subprocess; after a crash, a new one continues. Return a tally."""
    tally: collections.Counter[str] = collections.Counter()
    FAILED.mkdir(parents=True, exist_ok=True)
    while first < last:
        with (FAILED / f"stderr-{source}-{seed}-{first}.txt").open("wb") as stderr:
            worker = subprocess.Popen(
                [sys.executable, __file__, "--work", source, str(seed), str(first), str(last)],
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
                result, name = json.loads(rest)
                count(tally, (source, seed, first), result, name)
        first += 1
        if (code := worker.wait()) or kind == "start":
            count(tally, (source, seed, first - 1), f"bug: the process ended with {code}", "")
    return tally


def count(
    tally: collections.Counter[str], picture_id: tuple[str, int, int], result: str, name: str
) -> None:
    tally[result.partition(":")[0]] += 1
    if result.startswith("bug"):
        source, seed, number = picture_id
        picture = make(source, seed, number)
        (FAILED / f"{source}-{seed}-{number}.bin").write_bytes(picture.data)
        print(f"{source}-{seed}-{number}: {result} ({name or picture.name})", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        given = dict(enumerate(map(int, sys.argv[2:])))
        begin = given.get(2, 0)
        outcomes = watch(sys.argv[1], given.get(1, 0), begin, begin + given.get(0, 100_000))
        print(json.dumps(outcomes))
        sys.exit("bug" in outcomes)
