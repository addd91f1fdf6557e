"""Posts damaged pictures among intact pictures, whose answers must never change.

`make fuzz` posts many more: it sets GRAFT_FUZZ_POSTS.
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
def test_intact_pictures_get_the_same_answers_among_damaged_ones(server: Any, draw: Any) -> None:
    log_before = len(server.log.read_text())
    with httpx.Client(base_url=server.url, timeout=60) as client:
        (worker,) = server.workers()
        expected = {
            colour: client.post("/predict", content=draw(colour), headers=RAW).json()
            for colour in COLOURS
        }

        def post_intact(number: int) -> None:
            colour = COLOURS[number % 3]
            answer = client.post("/predict", content=draw(colour), headers=RAW)
            assert answer.json() == expected[colour]

        def post_damaged(number: int) -> None:
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

        def post_one_percent_damaged(number: int) -> None:
            (post_damaged if number % 100 == 0 else post_intact)(number)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(post_damaged, range(POSTS)))
            memory_before = worker.memory_info().rss
            list(pool.map(post_damaged, range(POSTS, 2 * POSTS)))
            list(pool.map(post_one_percent_damaged, range(2 * POSTS)))
        assert worker.memory_info().rss - memory_before < 64 * MEGABYTE
        assert [process.pid for process in server.workers()] == [worker.pid]
        log = server.log.read_text()[log_before:]
        assert "Traceback" not in log
        assert "Warning" not in log
