from __future__ import annotations

import threading

import pytest

from service.errors import PayloadTooLarge
from service.imaging import Limits
from service.imaging.limits import MemoryBudget
from service.imaging.readers.header import ImageHeader


def header(width: int = 100, height: int = 50, seconds: float = 0.1) -> ImageHeader:
    return ImageHeader("PNG", width, height, "RGB", 0, seconds, lambda: pytest.fail("decoded"))


def test_each_limit_is_named_by_the_refusal() -> None:
    limits = Limits(pixels=5_000, memory_bytes=1_000_000, seconds=0.5)
    limits.check(header(), 1_000_000)
    with pytest.raises(
        PayloadTooLarge, match=r"101 x 50 = 5,050 pixels; at most 5,000 are accepted"
    ):
        limits.check(header(width=101), 0)
    with pytest.raises(PayloadTooLarge, match="takes 2 MB of memory, and at most 1 MB"):
        limits.check(header(), 2_000_000)
    with pytest.raises(PayloadTooLarge, match=r"takes about 0\.6 s, and at most 0\.5 s"):
        limits.check(header(seconds=0.6), 0)


def test_threads_share_the_budget_in_turn() -> None:
    budget, order, inside = MemoryBudget(100), list[str](), threading.Event()
    release = threading.Event()

    def hold(name: str, amount: int) -> None:
        with budget.reserve(amount):
            order.append(name)
            inside.set()
            release.wait(20)

    first = threading.Thread(target=hold, args=("first", 60))
    first.start()
    assert inside.wait(20)
    large = threading.Thread(target=hold, args=("more than there is", 500))
    large.start()
    while not budget._waiting:
        pass
    # it would fit, but must wait for its turn
    small = threading.Thread(target=hold, args=("small", 10))
    small.start()
    while len(budget._waiting) < 2:
        pass
    assert order == ["first"]
    release.set()
    for thread in (first, large, small):
        thread.join(20)
    assert order == ["first", "more than there is", "small"]
    assert budget._free == 100


def test_a_failure_releases_its_memory() -> None:
    budget = MemoryBudget(100)
    with pytest.raises(ValueError, match="damaged"), budget.reserve(80):
        raise ValueError("damaged")
    with budget.reserve(100):
        assert budget._free == 0
