"""Mutated pictures posted among sound ones: the sound ones never notice.

`make fuzz` posts many more, by GRAFT_FUZZ_POSTS.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.fuzz.mutations import mutated

POSTS = int(os.environ.get("GRAFT_FUZZ_POSTS", "300"))
MEGABYTE = 1_000_000
RAW = {"content-type": "application/octet-stream"}
COLOURS = ("red", "green", "blue")


@pytest.mark.slow
def test_sound_pictures_are_answered_bit_for_bit_among_damaged_ones(server: Any, draw: Any) -> None:
    said = len(server.log.read_text())
    with httpx.Client(base_url=server.url, timeout=60) as client:
        (worker,) = server.workers()
        expected = {
            colour: client.post("/predict", content=draw(colour), headers=RAW).json()
            for colour in COLOURS
        }

        def sound(number: int) -> None:
            colour = COLOURS[number % 3]
            answer = client.post("/predict", content=draw(colour), headers=RAW)
            assert answer.json() == expected[colour]

        def damaged(number: int) -> None:
            name, data = mutated(3, number)
            if number % 3 == 2:
                good, bad = ("images", draw("blue")), ("images", data)
                answer = client.post("/predict_batch", files=[good, bad, good])
                first, middle, last = answer.json()["results"]
                blue = {key: expected["blue"][key] for key in ("label", "score", "top")}
                assert first == last == blue, name
                assert "label" in middle or middle["error"]["code"], name
                return
            if number % 3:
                answer = client.post("/predict", files={"image": data})
            else:
                answer = client.post("/predict", content=data, headers=RAW)
            assert answer.status_code in (200, 400, 413, 415), (name, answer.text)

        def one_percent(number: int) -> None:
            (damaged if number % 100 == 0 else sound)(number)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(damaged, range(POSTS)))
            before = worker.memory_info().rss
            list(pool.map(damaged, range(POSTS, 2 * POSTS)))
            list(pool.map(one_percent, range(2 * POSTS)))
        assert worker.memory_info().rss - before < 64 * MEGABYTE
        assert [one.pid for one in server.workers()] == [worker.pid]
        log = server.log.read_text()[said:]
        assert "Traceback" not in log
        assert "Warning" not in log
