"""Measures the ceiling: how fast pictures are decoded and classified in a loop, without a server.

    python -m benchmarks.serving.load.ceiling MODEL SIZE THREADS SESSION_THREADS PICTURES...

starts one process of the measurement. The process prints `ready`, reads a number of seconds from
stdin, works for this time, and prints its measurements as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.serving.load.pictures import Bodies
from benchmarks.serving.load.wrk import Load
from benchmarks.serving.server import ROOT
from service.bundle.reading import Bundle
from service.engine.onnx_session import open_session
from service.imaging import configure_process, decode


@dataclass(frozen=True)
class ThreadLayout:
    """How the work is divided among processes and threads.

    Attributes:
        name: the description in tables.
        processes: the number of processes, each with one ONNX Runtime session.
        threads: the number of threads in each process; they decode and call the session.
        session_threads: the number of threads that the session itself uses.
    """

    name: str
    processes: int
    threads: int
    session_threads: int


def thread_layouts(cores: int) -> list[ThreadLayout]:
    return [
        ThreadLayout("a process with one thread for each core", cores, 1, 1),
        ThreadLayout("a thread for each core, sharing a one-thread session", 1, cores, 1),
        ThreadLayout("one session with a thread for each core", 1, 1, cores),
    ]


def single_thread_layout(session_threads: int = 1) -> ThreadLayout:
    """Return a layout that processes one picture at a time, to measure how long a picture takes."""
    return ThreadLayout(
        f"one picture at a time, session threads: {session_threads}", 1, 1, session_threads
    )


def measure_ceiling(layout: ThreadLayout, bundle: Bundle, pictures: Bodies, seconds: float) -> Load:
    """Measure the pictures per second of all processes together, and the latency of a picture."""
    size, model = str(bundle.manifest.input.size), str(bundle.model_path)
    numbers = [str(layout.threads), str(layout.session_threads)]
    command = [sys.executable, "-m", "benchmarks.serving.load.ceiling", model, size, *numbers]
    processes = [
        subprocess.Popen(
            [*command, *map(str, pictures.paths)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for _ in range(layout.processes)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write(f"{seconds}\n")
        process.stdin.flush()
    results = [json.loads(process.communicate()[0]) for process in processes]
    milliseconds = np.concatenate([result["milliseconds"] for result in results])
    p50, p99 = np.percentile(milliseconds, [50, 99])
    rate = sum(len(result["milliseconds"]) / result["seconds"] for result in results)
    return Load(rate, float(p50), float(p99))


def main(model: str, size: str, threads: str, session_threads: str, *paths: str) -> None:
    configure_process()
    pictures = [Path(path).read_bytes() for path in paths]
    session = open_session(Path(model), int(session_threads))

    def classify(data: bytes) -> None:
        session.run(["probabilities"], {"images": decode(data, int(size))[np.newaxis]})

    for picture in pictures:
        classify(picture)
    print("ready", flush=True)
    seconds = float(sys.stdin.readline())
    times: list[list[float]] = [[] for _ in range(int(threads))]
    started = time.perf_counter()
    workers = [
        threading.Thread(target=loop, args=(classify, pictures, started + seconds, thread_times))
        for thread_times in times
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    elapsed = time.perf_counter() - started
    print(
        json.dumps(
            {
                "seconds": elapsed,
                "milliseconds": [time_ms for thread_times in times for time_ms in thread_times],
            }
        )
    )


def loop(
    classify: Callable[[bytes], None], pictures: Sequence[bytes], until: float, times: list[float]
) -> None:
    """Classify pictures until the time `until` (`time.perf_counter`).

    Append the milliseconds that each picture took to `times`.
    """
    number, now = 0, time.perf_counter()
    while now < until:
        classify(pictures[number % len(pictures)])
        number, started, now = number + 1, now, time.perf_counter()
        times.append((now - started) * 1000)


if __name__ == "__main__":
    main(*sys.argv[1:])
