"""Compute one explanation at a time, in a thread of its own.

An explanation takes longer than an answer, and people read them one by one. So explanations get at
most one core, and at most a few places in the queue of pictures.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.errors import BundleError, NotExplainable, Overloaded
from service.explanation.explainer import Explainer, Explanation

MAX_EXPLANATIONS: Final = 4
"""Largest number of explanations that are admitted at the same time."""
Shown = TypeVar("Shown")
_log = logging.getLogger("graft")


class ExplanationThread:
    """A thread that explains one picture after the other, and limits how many are admitted.

    Args:
        explainer: explains a picture; called only in the thread, except for its checks.
    """

    def __init__(self, explainer: Explainer) -> None:
        self._explainer = explainer
        self._executor = ThreadPoolExecutor(1, "explanation")
        self._places = threading.Semaphore(MAX_EXPLANATIONS)

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Reserve a place for one explanation until the `with` block ends.

        Raises:
            Overloaded: no place is free.
        """
        if not self._places.acquire(blocking=False):
            raise Overloaded(
                f"{MAX_EXPLANATIONS} explanations are in progress, which is the limit; try again "
                "in a moment"
            )
        try:
            yield
        finally:
            self._places.release()

    def check(self, label: str | None) -> None:
        """Check that a class can be explained; raises as `Explainer.check`."""
        self._explainer.check(label)

    def submit(
        self,
        image: NDArray[np.uint8],
        probabilities: NDArray[np.float32],
        label: str | None,
        show: Callable[[Explanation], Shown],
    ) -> Future[Shown]:
        """Queue an admitted explanation. Until it starts, the future can be cancelled.

        Args:
            image, probabilities, label: as for `Explainer.explain`.
            show: makes the result of the future from the explanation.
        """
        task = functools.partial(_explain, self._explainer, image, probabilities, label)
        return self._executor.submit(lambda: show(task()))

    def close(self) -> None:
        """Finish all explanations, then stop the thread."""
        self._executor.shutdown()


def _explain(
    explainer: Explainer,
    image: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    label: str | None,
) -> Explanation:
    try:
        return explainer.explain(image, probabilities, label)
    except BundleError as error:
        _log.error("no explanation: %s", error)
        raise NotExplainable(
            "the files for explanations of this model cannot be read; the server's log has the "
            "details"
        ) from None
