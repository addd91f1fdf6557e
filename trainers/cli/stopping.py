"""The last line of a run that is stopped: what is left, and how to go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from service.system.folders import cache_folder
from trainers.cli.log_output import log_line
from trainers.config import TrainingConfig

RESUME = "the same command with --resume goes on after the last complete epoch"
KEPT = "what was computed so far is kept for the same command"


class StopMessage:
    """The last line of a run that a signal ends.

    Until `watch` it promises nothing, and after that only what this run has written itself.

    Args:
        prefix: what it says in any case.
    """

    def __init__(self, prefix: str = "stopped; no incomplete bundle is left") -> None:
        self._prefix = prefix
        self._config: TrainingConfig | None = None
        self._before: dict[Path, int] = {}

    def watch(self, config: TrainingConfig) -> None:
        """Note which files exist now: this run cannot promise the checkpoint of an older one."""
        self._config, self._before = config, dict(_modification_times(config))

    def __call__(self) -> str:
        return log_line(f"graft: {self._prefix}{self._promise()}")

    def _promise(self) -> str:
        if self._config is None:
            return ""
        times = _modification_times(self._config)
        written = {path for path, time_ns in times if self._before.get(path) != time_ns}
        checkpoint = self._config.checkpoint
        if checkpoint in written or (self._config.resume and checkpoint.is_file()):
            return f"; {RESUME}"
        return f"; {KEPT}" if written else ""


def _modification_times(config: TrainingConfig) -> Iterator[tuple[Path, int]]:
    """The checkpoint and the indexes of the cache, each with its modification time (ns)."""
    indexes = (cache_folder() / "arrays").glob("*/keys") if config.cache_gigabytes else ()
    for path in (config.checkpoint, *indexes):
        try:
            yield path, path.stat().st_mtime_ns
        except OSError:
            continue  # not there, or just removed
