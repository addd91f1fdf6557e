"""Limits on decoding a picture: pixels, memory and time; and on the memory of all at a time.

The figures come from benchmarks/decoding.py; see docs/decisions/imaging.md.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from service.errors import PayloadTooLarge
from service.imaging.readers.header import ImageHeader

MAX_PIXELS: Final = 250_000_000
"""Default limit on width times height; the largest sensors of phones have 200 megapixels."""
MAX_SIDE: Final = 65_535
"""Longest side in pixels: JPEG's own limit. Conversions hold whole rows in memory."""
MAX_DECODING_BYTES: Final = 400_000_000
"""Most memory for decoding one picture, and for all that are decoded at the same time."""
MAX_DECODING_SECONDS: Final = 1.25
"""Longest estimated time of decoding one picture, on one core of an AMD EPYC of 2023."""


@dataclass(frozen=True)
class Limits:
    """Limits on a picture.

    Attributes:
        pixels: most pixels, width times height.
        memory_bytes: most memory for decoding.
        seconds: longest estimated time for decoding on one core.
    """

    pixels: int = MAX_PIXELS
    memory_bytes: int = MAX_DECODING_BYTES
    seconds: float = MAX_DECODING_SECONDS

    def check(self, header: ImageHeader, memory_bytes: int) -> None:
        """Raise PayloadTooLarge, naming the limit, for a picture that exceeds one."""
        size = f"the {header.format} picture has {header.width} x {header.height} ="
        size = f"{size} {header.pixels:,} pixels"
        if max(header.width, header.height) > MAX_SIDE:
            raise _too_large(f"{size}; a side has at most {MAX_SIDE:,}", "cut it into pieces")
        if header.pixels > self.pixels:
            raise _too_large(
                f"{size}; at most {self.pixels:,} are accepted (GRAFT_MAX_PIXELS)",
                "send a smaller one",
            )
        if memory_bytes > self.memory_bytes:
            raise _too_large(
                f"{size}, which take {memory_bytes / 1e6:,.0f} MB to decode; at most "
                f"{self.memory_bytes / 1e6:,.0f} MB are allowed",
                "send a smaller one, or a JPEG",
            )
        if header.seconds > self.seconds:
            raise _too_large(
                f"{size}, stored so that decoding takes about {header.seconds:,.1f} s; at most "
                f"{self.seconds:g} s are allowed",
                "send a smaller one, or save it as a plain JPEG",
            )


def _too_large(reason: str, remedy: str) -> PayloadTooLarge:
    return PayloadTooLarge(f"{reason}: {remedy}", reason)


class MemoryBudget:
    """Memory that decoding threads share; a thread waits, in turn, until its share is free."""

    def __init__(self, total_bytes: int) -> None:
        self._total = self._free = total_bytes
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, amount: int) -> Iterator[None]:
        """Hold `amount` bytes while the block runs; more than the total counts as the total."""
        amount = min(amount, self._total)
        with self._changed:
            if self._waiting or amount > self._free:
                self._wait(amount)
            self._free -= amount
        try:
            yield
        finally:
            with self._changed:
                self._free += amount
                if self._waiting:
                    self._changed.notify_all()

    def _wait(self, amount: int) -> None:
        turn = object()
        self._waiting.append(turn)
        try:
            self._changed.wait_for(lambda: self._waiting[0] is turn and amount <= self._free)
        finally:
            self._waiting.remove(turn)
            self._changed.notify_all()


DECODING_MEMORY: Final = MemoryBudget(MAX_DECODING_BYTES)
"""The budget of this process: a picture of 400 MB is decoded alone, small ones in parallel."""
