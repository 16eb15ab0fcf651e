"""Check many images at once.

Threads, not processes: decoding leaves the interpreter lock, and a thread needs neither a second to start nor
a guard in the user's own script.
"""

import os
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from perisphere.catalog.images import ImageError, ImageInfo, probe
from perisphere.errors import UsageError
from perisphere.progress import Advance, bar

_BLOCK = 64

Verdict = ImageInfo | ImageError


def verify(paths: Sequence[Path], *, workers: int = 0) -> Iterator[Verdict]:
    """Decode every image once and yield what was found, in the order of ``paths``.

    Memory is bounded: each worker holds one image, and few finished blocks wait.

    Args:
        paths: the files.
        workers: threads; 0 takes one for each core.

    Raises:
        UsageError: ``workers`` is negative.
    """
    workers = _workers(workers)
    blocks = (paths[start : start + _BLOCK] for start in range(0, len(paths), _BLOCK))
    waiting: deque[Future[list[Verdict]]] = deque()
    # Pillow warns of broken metadata around good pixels; what spoils pixels is an error already.
    with (
        warnings.catch_warnings(),
        bar("checking images", len(paths)) as advance,
        ThreadPoolExecutor(workers) as pool,
    ):
        warnings.filterwarnings("ignore", module=r"PIL\.")
        for block in blocks:
            waiting.append(pool.submit(_verify_block, block))
            if len(waiting) > 4 * workers:
                yield from _next(waiting, advance)
        while waiting:
            yield from _next(waiting, advance)


def _next(waiting: deque[Future[list[Verdict]]], advance: Advance) -> list[Verdict]:
    verdicts = waiting.popleft().result()
    advance(len(verdicts))
    return verdicts


def _workers(workers: int) -> int:
    if workers < 0:
        raise UsageError(f"workers: {workers} is negative; give 0 for one thread a core, or a number from 1.")
    if hasattr(os, "sched_getaffinity"):  # counts the cores that this process may use, where the system tells
        return workers or len(os.sched_getaffinity(0))
    return workers or os.cpu_count() or 1


def _verify_block(paths: Sequence[Path]) -> list[Verdict]:
    return [_verify_one(path) for path in paths]


def _verify_one(path: Path) -> Verdict:
    try:
        return probe(path)
    except ImageError as error:
        return error
