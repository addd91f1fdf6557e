"""Who trains together: nobody else, the GPUs of one machine, or several hosts, by TF_CONFIG.

TF_CONFIG is what Kubeflow's and JobSet's trainers set in every container, and TensorFlow's own
way to say it: {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}.
"""

from __future__ import annotations

import faulthandler
import json
import re
import signal
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from service.errors import GraftError
from trainers import hardware

if TYPE_CHECKING:
    import tensorflow as tf

VARIABLE = "TF_CONFIG"
START_SECONDS = 300
"""Longest wait for all workers at the start: images are pulled and nodes come up meanwhile."""
LOST_SECONDS = 20
"""A worker that was not heard of for so long is lost; the others then stop."""
STOPPED = 75
"""Exit code of a run that was stopped and can be resumed (EX_TEMPFAIL of sysexits.h)."""
_JOBS = ("chief", "worker")
_ADDRESS = re.compile(r"\S+:\d{1,5}").fullmatch


class ClusterError(GraftError):
    """TF_CONFIG describes no cluster that can train together, or its workers do not agree."""


class WorkerLostError(GraftError):
    """Another worker is gone: the run has stopped and can be resumed."""


@dataclass(frozen=True)
class Cluster:
    """The processes that train together; by itself, one.

    Attributes:
        addresses: host:port of each, the chief's first.
        rank: of this one among them; 0 is the chief, who alone writes.
        jobs: those of TF_CONFIG with the number of their tasks.
    """

    addresses: tuple[str, ...] = ("",)
    rank: int = 0
    jobs: tuple[tuple[str, int], ...] = ()

    @classmethod
    def read(cls, text: str | None) -> Cluster:
        """From the value of TF_CONFIG; without one, or with one task in it, a process by itself.

        Raises:
            ClusterError: it is malformed, or asks for what there is not (parameter servers,
                an evaluator).
        """
        if not text or not text.strip():
            return cls()
        try:
            page = json.loads(text)
            lists = {str(job): [str(one) for one in of] for job, of in page["cluster"].items()}
            job, index = str(page["task"]["type"]), int(page["task"]["index"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ClusterError(
                f'{VARIABLE} (={text!r}) must read {{"cluster": {{"worker": ["host:port", ...]}}, '
                f'"task": {{"type": "worker", "index": 0}}}} ({type(error).__name__}: {error}); '
                "unset it to train on this machine alone"
            ) from error
        return cls._of(lists, job, index)

    @classmethod
    def _of(cls, lists: dict[str, list[str]], job: str, index: int) -> Cluster:
        others = sorted({job, *(name for name, of in lists.items() if of)} - {*_JOBS})
        if others:
            raise ClusterError(
                f"{VARIABLE} names tasks of type `{'`, `'.join(others)}`: all train in step here, "
                "so there are `chief` and `worker` only; the chief evaluates"
            )
        if not 0 <= index < len(lists.get(job, ())):
            raise ClusterError(
                f"{VARIABLE}: this is task {index} of `{job}`, of which `cluster` lists "
                f"{len(lists.get(job, ()))}"
            )
        jobs = tuple((name, len(lists[name])) for name in _JOBS if lists.get(name))
        if dict(jobs).get("chief", 1) > 1:
            raise ClusterError(f"{VARIABLE} lists several chiefs; there can be one")
        addresses = tuple(one for name, _ in jobs for one in lists[name])
        if len(set(addresses)) < len(addresses) or not all(map(_ADDRESS, addresses)):
            raise ClusterError(
                f"{VARIABLE} must list each task once, as host:port: {', '.join(addresses)}"
            )
        return cls(addresses, index + (job == "worker") * dict(jobs).get("chief", 0), jobs)

    @property
    def size(self) -> int:
        return len(self.addresses)

    @property
    def is_chief(self) -> bool:
        return self.rank == 0

    def strategy(self) -> tf.distribute.Strategy:
        """TensorFlow's strategy for what is here: its default one, which does nothing, for one
        device. Has to be called before TensorFlow computes anything.

        Raises:
            TimeoutError, tensorflow.errors.DeadlineExceededError: not all workers came within
                START_SECONDS.
        """
        import tensorflow as tf

        if self.size == 1:
            names = hardware.devices()
            is_one = len(names) == 1
            return tf.distribute.get_strategy() if is_one else tf.distribute.MirroredStrategy(names)
        from tensorflow.python.eager.context import context  # no public door leads there

        # Before the strategy does it with waits of its own: an hour for the start, for one.
        context().configure_coordination_service(
            service_type="standalone",
            service_leader=f"/job:{self.jobs[0][0]}/replica:0/task:0",
            cluster_register_timeout_in_ms=START_SECONDS * 1000,
            heartbeat_timeout_in_ms=LOST_SECONDS * 1000,
            shutdown_barrier_timeout_in_ms=LOST_SECONDS * 1000,
            coordinated_jobs=[_coordinated(name, count) for name, count in self.jobs],
        )
        if self.is_chief:
            self._wait_for_others()
        stop = signal.getsignal(signal.SIGTERM)
        faulthandler.dump_traceback_later(START_SECONDS + 60, exit=True)  # C++ may wait for ever
        try:
            return tf.distribute.MultiWorkerMirroredStrategy()
        finally:
            faulthandler.cancel_dump_traceback_later()
            signal.signal(signal.SIGTERM, stop)  # TensorFlow had put a handler of its own there

    def _wait_for_others(self) -> None:
        """Until all listen. TensorFlow's chief would wait without end, deaf to signals."""
        deadline = time.monotonic() + START_SECONDS
        for address in self.addresses[1:]:
            host, _, port = address.rpartition(":")
            while True:
                try:
                    socket.create_connection((host.strip("[]"), int(port)), 2).close()
                    break
                except OSError as error:
                    if time.monotonic() > deadline:
                        raise TimeoutError(f"{address}: {error}") from error
                    time.sleep(0.2)


ALONE = Cluster()


def _coordinated(name: str, count: int) -> Any:
    from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2

    return coordination_config_pb2.CoordinatedJob(name=name, num_tasks=count)
