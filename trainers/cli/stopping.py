"""The last log line of a stopped run; it says how to continue the run, if that is possible."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from service.system.folders import cache_folder
from trainers.cli.log_output import log_line
from trainers.config import TrainingConfig

RESUME = "to continue after the last complete epoch, run the same command with --resume"
KEPT = "the results so far are kept in the cache: run the same command again to use them"


class StopMessage:
    """Makes the last log line of a run that is stopped by a signal.

    The line says how to continue in two cases: a checkpoint or results in the cache have been
    written since `watch` was called, or the run was started with --resume and an earlier run has
    left a checkpoint.

    Args:
        prefix: the start of the message.
    """

    def __init__(self, prefix: str = "stopped; no incomplete bundle is left") -> None:
        self._prefix = prefix
        self._config: TrainingConfig | None = None
        self._before: dict[Path, int] = {}

    def watch(self, config: TrainingConfig) -> None:
        """Record when the checkpoint and the cache's indexes were last modified before the run."""
        self._config, self._before = config, dict(_modification_times(config))

    def __call__(self) -> str:
        return log_line(f"graft: {self._prefix}{self._how_to_continue()}")

    def _how_to_continue(self) -> str:
        if self._config is None:
            return ""
        times = _modification_times(self._config)
        written = {path for path, time_ns in times if self._before.get(path) != time_ns}
        checkpoint = self._config.checkpoint
        has_checkpoint = any(path.name == checkpoint.name for path in written)
        if has_checkpoint or (self._config.resume and checkpoint.is_file()):
            return f"; {RESUME}"
        return f"; {KEPT}" if written else ""


def _modification_times(config: TrainingConfig) -> Iterator[tuple[Path, int]]:
    """Yield the paths and modification times (ns) of checkpoints and of the cache's indexes.

    The folds of cross-validation have checkpoints of their own.
    """
    indexes = (cache_folder() / "arrays").glob("*/keys") if config.cache_gigabytes else ()
    folds = config.checkpoint.parent.glob(f"*/{config.checkpoint.name}")
    for path in (config.checkpoint, *folds, *indexes):
        try:
            yield path, path.stat().st_mtime_ns
        except OSError:
            continue  # does not exist, or was just removed
