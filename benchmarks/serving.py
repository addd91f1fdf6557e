"""What does HTTP cost? The service against its own parts in one process, side by side.

    .venv/bin/python benchmarks/serving.py BUNDLE [CONNECTIONS]

A round is: the decoder and the predictor called in a loop by as many threads as the machine has
cores, then the same pictures through `bentoml serve`. Machines drift; the ratio is the figure.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np

from service.bundle import Bundle
from service.imaging import decode
from service.predictor import Predictor
from trainers.demo import served

REQUESTS, ROUNDS = 600, 3


def main(folder: str, connections: str = "16") -> None:
    bundle = Bundle.read(Path(folder))
    picture = next(path for path, _ in bundle.golden()).read_bytes()
    cores = os.cpu_count() or 1
    predictor = Predictor(bundle, threads=1)

    def in_process(_: int) -> None:
        predictor.predict(decode(picture, predictor.image_size)[np.newaxis])

    with served(bundle.path) as address, httpx.Client(base_url=address) as client:
        latencies: list[float] = []

        def over_http(_: int) -> None:
            started = time.monotonic()
            headers = {"Content-Type": "image/jpeg"}
            client.post("/predict", content=picture, headers=headers).raise_for_status()
            latencies.append(time.monotonic() - started)

        rate(over_http, int(connections), 50)  # warm
        ratios = []
        for _ in range(ROUNDS):
            alone = rate(in_process, cores, REQUESTS)
            latencies.clear()
            http = rate(over_http, int(connections), REQUESTS)
            p50, p99 = np.percentile(latencies, [50, 99]) * 1000
            ratios.append(http / alone)
            print(f"in process {alone:.0f}/s, HTTP {http:.0f}/s (p50 {p50:.0f}, p99 {p99:.0f} ms)")
    print(f"HTTP reaches {np.median(ratios):.2f} of the bare parts (median of {ROUNDS} rounds)")


def rate(call: Callable[[int], None], threads: int, count: int) -> float:
    """Calls per second."""
    with ThreadPoolExecutor(threads) as pool:
        started = time.monotonic()
        list(pool.map(call, range(count)))
        return count / (time.monotonic() - started)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("name a bundle folder: benchmarks/serving.py artifacts/classifier-...")
    main(*sys.argv[1:])
