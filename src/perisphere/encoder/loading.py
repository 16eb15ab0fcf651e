"""Pictures decoded by several threads, in order, ahead of the network, in bounded memory.

Threads, not processes: Pillow and OpenCV release the interpreter's lock while they decode and resize, so a
thread costs neither a start-up nor a copy, and takes arrays and open pictures as well as paths.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from PIL import Image

from perisphere.catalog.images import ImageError, decode, display
from perisphere.encoder.preprocessing import Preprocessing
from perisphere.errors import PerisphereError, UsageError

Source: TypeAlias = Path | str | bytes | Image.Image | np.ndarray
AHEAD = 2  # batches that are decoded while the network works on one


@dataclass(frozen=True)
class Batch:
    """Pictures ``start`` to ``stop`` of a sequence.

    Attributes:
        pictures: uint8 ``[m, h, w, 3]``, those that could be read.
        rows: int64 ``[m]``, their positions in the sequence.
        failures: position and error of each picture that could not be read.
    """

    start: int
    stop: int
    pictures: np.ndarray
    rows: np.ndarray
    failures: list[tuple[int, PerisphereError]]


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_batches(batch_size: int, workers: int) -> None:
    """Refuse what no batch can be made with (UsageError)."""
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}; it must be at least 1.")
    if workers < 0:
        raise UsageError(f"workers is {workers}; give 0 for one thread a core, or a number from 1.")


def batches(
    sources: Sequence[Source],
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    workers: int = 0,
    start: int = 0,
) -> Iterator[Batch]:
    """Yield ``sources[start:]`` decoded and resized, in order.

    At most ``AHEAD + 1`` batches of resized pictures and ``workers`` decoded ones are in memory.

    Args:
        sources: paths, whole files as bytes, Pillow pictures or uint8 RGB arrays ``[h, w, 3]``.
        preprocessing: its geometry is applied.
        batch_size: pictures a batch, the unreadable ones included.
        workers: decoding threads; 0 means one a core.
        start: position of the first picture.

    Raises:
        UsageError: ``batch_size`` is below 1 or ``workers`` is negative.
    """
    check_batches(batch_size, workers)
    starts = iter(range(start, len(sources), batch_size))
    pending: deque[_Pending] = deque()
    pool = ThreadPoolExecutor(workers or cores(), thread_name_prefix="decode")
    try:
        while True:
            while len(pending) <= AHEAD and (begin := next(starts, None)) is not None:
                pending.append(_Pending(pool, sources, begin, batch_size, preprocessing))
            if not pending:
                return
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Pending:
    """A batch under way: each thread writes its picture straight into its place."""

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        sources: Sequence[Source],
        start: int,
        batch_size: int,
        preprocessing: Preprocessing,
    ) -> None:
        self.start, self.stop = start, min(start + batch_size, len(sources))
        self.pictures = np.empty((self.stop - start, *preprocessing.size, 3), np.uint8)
        self.futures: list[Future[PerisphereError | None]] = [
            pool.submit(_read_into, self.pictures[row - start], sources[row], preprocessing)
            for row in range(start, self.stop)
        ]

    def result(self) -> Batch:
        errors = [future.result() for future in self.futures]
        good = np.array([error is None for error in errors])
        failures = [(self.start + place, error) for place, error in enumerate(errors) if error is not None]
        pictures = self.pictures if not failures else self.pictures[good]
        return Batch(self.start, self.stop, pictures, self.start + np.flatnonzero(good), failures)


def _read_into(place: np.ndarray, source: Source, preprocessing: Preprocessing) -> PerisphereError | None:
    """Fill ``place``; return the error where the picture cannot be read."""
    try:
        picture = Path(source) if isinstance(source, str) else source
        place[:] = preprocessing(decode(picture, at_least=preprocessing.at_least))
    except PerisphereError as error:
        return error
    except cv2.error as error:  # memory that is not there, mostly
        return ImageError(display(source), f"cannot be resized ({error.err})", "cannot be resized")
    return None
