"""The same work on many items, by threads, in order and with bounded memory.

Threads, not processes: decoding and encoding leave the interpreter lock, and a thread needs neither a second
to start nor a guard in the user's own script.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from perisphere.errors import UsageError

T = TypeVar("T")
R = TypeVar("R")
_BLOCK = 64


def in_order(work: Callable[[T], R], items: Sequence[T], *, workers: int = 0) -> Iterator[R]:
    """Yield ``work(item)`` of every item, in their order; few finished blocks wait to be taken.

    When the caller stops early, or an item raises, what has not begun is not begun any more.

    Args:
        work: called by several threads at once.
        items: what to work on.
        workers: threads; 0 takes one for each core.

    Raises:
        UsageError: ``workers`` is negative.
    """
    workers = _count(workers)
    waiting: deque[Future[list[R]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for start in range(0, len(items), _BLOCK):
                waiting.append(pool.submit(_block, work, items[start : start + _BLOCK]))
                if len(waiting) > 4 * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for block in waiting:
                block.cancel()


def _block(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    return [work(item) for item in items]


def _count(workers: int) -> int:
    if workers < 0:
        raise UsageError(f"workers: {workers} is negative; give 0 for one thread a core, or a number from 1.")
    if hasattr(os, "sched_getaffinity"):  # counts the cores that this process may use, where the system tells
        return workers or len(os.sched_getaffinity(0))
    return workers or os.cpu_count() or 1
