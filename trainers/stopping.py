"""What a stopped run leaves to go on with, and says: no more than is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from service.system.resources import cache_folder
from trainers.config import TrainingConfig
from trainers.progress import log_line

RESUME = "the same command with --resume goes on after the last whole epoch"
KEPT = "what was computed so far is kept for the same command"


class LastWords:
    """The last line of a run that a signal ends.

    Until `watch` it promises nothing, and then only what this run has written itself.

    Args:
        told: what it says in any case.
    """

    def __init__(self, told: str = "stopped; no half bundle is left") -> None:
        self._told = told
        self._config: TrainingConfig | None = None
        self._before: dict[Path, int] = {}

    def watch(self, config: TrainingConfig) -> None:
        """Remember what lies there now: an older run's checkpoint is none of this one's."""
        self._config, self._before = config, dict(_files(config))

    def __call__(self) -> str:
        return log_line(f"graft: {self._told}{self._promise()}")

    def _promise(self) -> str:
        if self._config is None:
            return ""
        written = {path for path, time in _files(self._config) if self._before.get(path) != time}
        checkpoint = self._config.checkpoint
        if checkpoint in written or (self._config.resume and checkpoint.is_file()):
            return f"; {RESUME}"
        return f"; {KEPT}" if written else ""


def _files(config: TrainingConfig) -> Iterator[tuple[Path, int]]:
    """The checkpoint and the cache's lists of records, and when each was written."""
    shelves = (cache_folder() / "arrays").glob("*/keys") if config.cache_gigabytes else ()
    for path in (config.checkpoint, *shelves):
        try:
            yield path, path.stat().st_mtime_ns
        except OSError:
            continue  # not there, or removed meanwhile
