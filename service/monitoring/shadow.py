"""The shadow: a challenger classifies a share of the pictures after they were answered.

It delays no answer: a picture waits until less than half of the service's threads are busy, and the
process of the challenger gets only processor time that no other process needs. Under load, pictures
are left out ("shed").
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final, NamedTuple

from service.bundle.signature import load_verified
from service.errors import GraftError
from service.metrics import Metrics
from service.monitoring.challenger import Challenger, Opinion
from service.settings import Settings

MAX_PICTURES: Final = 8
"""Largest number of pictures that wait. A longer queue would only compare older pictures."""
MAX_BYTES: Final = 16 * 1024 * 1024
"""Limit on the total size of the pictures that wait. GRAFT_MAX_UPLOAD_BYTES does not count them,
because its quota is for requests that are not answered yet."""
PAUSE_SECONDS: Final = 0.01
"""A picture waits at least this long, so that its answer has left. Then the load is checked at this
interval."""
_log = logging.getLogger("bentoml.graft")  # a child of BentoML's logger, which shows INFO


class _Waiting(NamedTuple):
    picture: bytes
    label: str
    ready_at: float


def start_challenger(settings: Settings, current: Challenger | None = None) -> Challenger:
    """Start the challenger that GRAFT_SHADOW names now, or return `current` if it is the same.

    Raises:
        BundleError: the model is missing, damaged or not signed as GRAFT_VERIFY_KEY requires, or
            does not reproduce its golden answers.
        SettingError: the public key of GRAFT_VERIFY_KEY cannot be read.
    """
    bundle = load_verified(settings.shadow, settings.verify_key, "GRAFT_SHADOW")
    if current and current.is_running and current.manifest.id == bundle.manifest.id:
        return current
    return Challenger(bundle, settings.limits())


class Shadow:
    """Shows a share of the answered pictures to a challenger, and counts how often it agrees.

    Failures of the challenger are counted, and the first is logged. They have no other effect.

    Args:
        challenger: the challenger, which this object ends.
        share: the share of pictures that it is shown, 0 to 1.
        metrics: the metrics in which this object counts pictures and records durations.
        is_calm: function that says whether the service has little to do.
    """

    def __init__(
        self, challenger: Challenger, share: float, metrics: Metrics, is_calm: Callable[[], bool]
    ) -> None:
        self.challenger = challenger
        self._share, self._metrics, self._is_calm = share, metrics, is_calm
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._logged: set[bool] = set()
        """Whether the process of the challenger was running, for each failure that was logged."""
        self._announce()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    def offer(self, picture: bytes, label: str) -> None:
        """Keep a picture that gets the answer `label` for the challenger, if it is sampled.

        The labels of a multi-label model are joined: both models agree if all labels are the same.

        This does not wait, and costs little if the picture is not sampled.
        """
        if random.random() >= self._share:
            return
        with self._changed:
            waiting_bytes = sum(len(waiting.picture) for waiting in self._waiting)
            has_room = (
                len(self._waiting) < MAX_PICTURES and waiting_bytes + len(picture) <= MAX_BYTES
            )
            if has_room:
                self._waiting.append(_Waiting(picture, label, monotonic() + PAUSE_SECONDS))
                if len(self._waiting) == 1:
                    self._changed.notify()
        if not has_room:
            self._metrics.count_shadow("shed")

    def reload(self, settings: Settings) -> None:
        """Start the challenger that GRAFT_SHADOW names now, and end the current one.

        The current one goes on if it is the same model. It also goes on if anything fails: this is
        only logged, so that it does not keep a new model from being served.
        """
        old = self.challenger
        try:
            self.challenger = start_challenger(settings, old)
        except Exception as error:
            is_bug = not isinstance(error, GraftError)
            _log.error("the challenger is not reloaded: %s", error, exc_info=is_bug)
        if self.challenger is not old:
            old.close()
            self._metrics.show_challenger(old.manifest, is_used=False)
            self._announce()

    def close(self) -> None:
        """End the challenger and the thread at once; pictures that wait are dropped."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._changed.notify()
        self.challenger.close()
        self._thread.join()

    def _announce(self) -> None:
        self._logged.clear()
        manifest = self.challenger.manifest
        self._metrics.show_challenger(manifest)
        _log.info(
            "the challenger %s:%s (GRAFT_SHADOW) is shown %g%% of the pictures",
            *(manifest.name, manifest.version, 100 * self._share),
        )

    def _run(self) -> None:
        while self._show_next():
            pass

    def _show_next(self) -> bool:
        """Show the next picture to the challenger; return False once closed."""
        waiting = self._next()
        if waiting is None:
            return False
        challenger = self.challenger
        try:
            opinion = challenger.classify(waiting.picture)
        except Exception as error:  # its process has ended, or sent nonsense
            opinion = Opinion(error=str(error) or type(error).__name__)
        if not self._is_closed and challenger is self.challenger:
            self._count(opinion, waiting.label)
        return True

    def _next(self) -> _Waiting | None:
        """Wait for a picture and for a moment with little load; return None once closed."""
        with self._changed:
            while not self._is_closed:
                if self._waiting and monotonic() >= self._waiting[0].ready_at and self._is_calm():
                    return self._waiting.popleft()
                self._changed.wait(PAUSE_SECONDS if self._waiting else None)
        return None

    def _count(self, opinion: Opinion, label: str) -> None:
        if not opinion.error:
            self._metrics.shadow_seconds.observe(opinion.seconds)
            self._metrics.count_shadow("agree" if opinion.label == label else "disagree")
            return
        self._metrics.count_shadow("failed")
        is_running, manifest = self.challenger.is_running, self.challenger.manifest
        if is_running not in self._logged:
            self._logged.add(is_running)
            _log.warning(
                "the challenger %s:%s (GRAFT_SHADOW) failed: %s; further failures are only counted "
                "in graft_shadow_pictures_total%s",
                *(manifest.name, manifest.version, opinion.error),
                "" if is_running else "; reload or restart the service to start it again",
            )
