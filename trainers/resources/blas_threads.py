"""Limits BLAS to one thread.

Heads and references need products of small matrices. The threads of OpenBLAS would wait for each
other longer than they compute.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


def one_blas_thread() -> AbstractContextManager[Any]:
    """Return a context in which BLAS computes in one thread."""
    context: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return context


@cache
def _controller() -> ThreadpoolController:
    """Find the BLAS libraries of this process, once: it takes 0.1 s, longer than many fits."""
    import scipy.linalg  # noqa: F401 - so that the library of SciPy is found, too
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
