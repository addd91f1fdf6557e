"""Limits on decoding: the pixels, memory and time per picture, and the memory of all threads.

docs/decisions/imaging.md explains the limits on memory and time.
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
"""Default limit on the number of pixels (width times height) of a picture. The largest sensors of
phones have 200 megapixels."""
MAX_SIDE: Final = 65_535
"""Limit on the width and on the height of a picture, in pixels. The JPEG format has the same limit.
Resizing needs memory for whole rows, so the width is limited even if a picture has few rows."""
MAX_DECODING_BYTES: Final = 400_000_000
"""Limit on the memory for decoding, in bytes. It applies to each picture, and to the sum of all
pictures that a process decodes at the same time."""
MAX_DECODING_SECONDS: Final = 1.25
"""Limit on the estimated time for decoding one picture, on one core of an AMD EPYC of 2023."""


@dataclass(frozen=True)
class Limits:
    """Limits on decoding one picture.

    Attributes:
        pixels: largest accepted number of pixels, width times height.
        memory_bytes: largest number of bytes that decoding may allocate.
        seconds: longest estimated time that decoding may take on one core.
    """

    pixels: int = MAX_PIXELS
    memory_bytes: int = MAX_DECODING_BYTES
    seconds: float = MAX_DECODING_SECONDS

    def check(self, header: ImageHeader, memory_bytes: int) -> None:
        """Raise PayloadTooLarge if a picture exceeds a limit; the message names the limit.

        Args:
            header: the header of the picture.
            memory_bytes: number of bytes that decoding and resizing may allocate.
        """
        size = f"the {header.format} picture has {header.width} x {header.height} ="
        size = f"{size} {header.pixels:,} pixels"
        if max(header.width, header.height) > MAX_SIDE:
            raise _too_large(
                f"{size}; width and height may be at most {MAX_SIDE:,} pixels",
                "split it into smaller pictures",
            )
        if header.pixels > self.pixels:
            raise _too_large(
                f"{size}; at most {self.pixels:,} are accepted", "send a smaller picture"
            )
        if memory_bytes > self.memory_bytes:
            raise _too_large(
                f"{size}; decoding it takes {memory_bytes / 1e6:,.0f} MB of memory, and at most "
                f"{self.memory_bytes / 1e6:,.0f} MB are allowed",
                "send a smaller picture, or save it as a JPEG",
            )
        if header.seconds > self.seconds:
            raise _too_large(
                f"{size}; decoding it takes about {header.seconds:,.1f} s, and at most "
                f"{self.seconds:g} s are allowed",
                "send a smaller picture, or save it as a baseline JPEG",
            )


def _too_large(reason: str, remedy: str) -> PayloadTooLarge:
    return PayloadTooLarge(f"{reason}: {remedy}", reason)


class MemoryBudget:
    """An amount of memory that decoding threads share.

    A thread waits if it needs more memory than is free. Waiting threads get memory in the order in
    which they started to wait.
    """

    def __init__(self, total_bytes: int) -> None:
        self._total = self._free = total_bytes
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, amount: int) -> Iterator[None]:
        """Wait until `amount` bytes are free, and reserve them until the block ends.

        If `amount` exceeds the whole budget, reserve the whole budget, so that the picture is
        decoded alone.
        """
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
"""The memory budget of this process. Pictures that together fit into the budget are decoded in
parallel."""
