"""Holding BLAS to one thread while any worker of this process computes."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Limit:
    """The number of workers, and the way to lift the limit."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.workers = 0
        self.limiter: Any = None


_limit = _Limit()


@contextmanager
def single_threaded() -> Iterator[None]:
    """Limit BLAS to one thread; the last of several workers to leave lifts the limit.

    The number of threads belongs to the process: a worker that set it back on its own would set
    it back for the others, in the midst of their work.
    """
    with _limit.lock:
        if not _limit.workers:
            _limit.limiter = libraries().limit(limits=1, user_api="blas")
        _limit.workers += 1
    try:
        yield
    finally:
        with _limit.lock:
            _limit.workers -= 1
            if not _limit.workers:
                _limit.limiter.restore_original_limits()


@functools.cache
def libraries() -> Any:
    """The libraries of the process, looked for once: it takes longer than a small spectrum."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
