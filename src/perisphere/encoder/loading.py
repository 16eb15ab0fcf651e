"""Pictures decoded by several threads, in order, ahead of the network, in bounded memory.

Threads, not processes: Pillow and OpenCV release the interpreter's lock while they decode and resize, so a
thread costs neither a start-up nor a copy, and takes arrays and open pictures as well as paths.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from PIL import Image

from perisphere.catalog.images import ImageError, decode, display
from perisphere.encoder.preprocessing import Box, Preprocessing, View
from perisphere.errors import PerisphereError, UsageError

Source: TypeAlias = Path | str | bytes | Image.Image | np.ndarray
AHEAD = 2  # batches that are decoded while the network works on one


@dataclass(frozen=True)
class Batch:
    """Pictures ``start`` to ``stop`` of a sequence.

    Attributes:
        pictures: uint8 ``[h, w, 3]`` each, those that could be read; one array ``[m, h, w, 3]`` where the
            preprocessing gives all of them one size.
        rows: int64 ``[m]``, their positions in the sequence.
        failures: position and error of each picture that could not be read.
    """

    start: int
    stop: int
    pictures: np.ndarray | list[np.ndarray]
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
    boxes: Sequence[Box | None] | None = None,
    views: Sequence[View] | None = None,
) -> Iterator[Batch]:
    """Yield ``sources[start:]`` decoded and resized, in order.

    At most ``AHEAD + 1`` batches of resized pictures and ``workers`` decoded ones are in memory.

    Args:
        sources: paths, whole files as bytes, Pillow pictures or uint8 RGB arrays ``[h, w, 3]``.
        preprocessing: its geometry is applied.
        batch_size: pictures a batch, the unreadable ones included.
        workers: decoding threads; 0 means one a core.
        start: position of the first picture.
        boxes: the part of each source to take, ``x0, y0, x1, y1`` in pixels; ``None`` takes it whole.
        views: the part of each source to train with, in place of ``boxes``.

    Raises:
        UsageError: ``batch_size`` is below 1 or ``workers`` is negative.
        PerisphereError: another number of boxes or views than of sources.
    """
    check_batches(batch_size, workers)
    jobs = _Jobs(sources, [None] * len(sources) if boxes is None else boxes, preprocessing, views)
    if len(jobs.boxes) != len(sources):
        raise PerisphereError(
            f"{len(sources)} images and {len(jobs.boxes)} boxes; give one box or None an image."
        )
    if views is not None and (boxes is not None or len(views) != len(sources)):
        raise PerisphereError(
            f"{len(sources)} images and {len(views)} views; give one an image, and no boxes."
        )
    starts = iter(range(start, len(sources), batch_size))
    pending: deque[_Pending] = deque()
    pool = ThreadPoolExecutor(workers or cores(), thread_name_prefix="decode")
    try:
        while True:
            while len(pending) <= AHEAD and (begin := next(starts, None)) is not None:
                pending.append(_Pending(pool, jobs, begin, batch_size))
            if not pending:
                return
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class _Jobs:
    """What is to be read, from what part of it, and how."""

    sources: Sequence[Source]
    boxes: Sequence[Box | None]
    preprocessing: Preprocessing
    views: Sequence[View] | None = None

    def read(self, row: int) -> np.ndarray | PerisphereError:
        """Return the picture, or the error where it cannot be read."""
        source, box = self.sources[row], self.boxes[row]
        view = None if self.views is None else self.views[row]
        # A box counts in pixels of the whole picture, which must then be decoded at its full size.
        at_least = self.preprocessing.at_least if view is None else view.shorter
        try:
            picture = decode(
                Path(source) if isinstance(source, str) else source,
                at_least=None if box is not None else at_least,
            )
            return (
                self.preprocessing(picture, box) if view is None else self.preprocessing.seen(picture, view)
            )
        except ImageError as error:
            return error
        except PerisphereError as error:
            return ImageError(display(source), str(error).removesuffix("."))
        except cv2.error as error:  # memory that is not there, mostly
            return ImageError(display(source), f"cannot be resized ({error.err})", "cannot be resized")


class _Pending:
    """A batch under way."""

    def __init__(self, pool: ThreadPoolExecutor, jobs: _Jobs, start: int, batch_size: int) -> None:
        self.start, self.stop = start, min(start + batch_size, len(jobs.sources))
        rows = range(self.start, self.stop)
        self.pictures: np.ndarray | None = None
        if jobs.preprocessing.one_size:
            # Each thread writes its picture straight into its place.
            self.pictures = np.empty((len(rows), *jobs.preprocessing.size, 3), np.uint8)
        self.futures = [pool.submit(self._read, jobs, row) for row in rows]

    def _read(self, jobs: _Jobs, row: int) -> np.ndarray | PerisphereError:
        picture = jobs.read(row)
        if self.pictures is None or isinstance(picture, PerisphereError):
            return picture
        place = self.pictures[row - self.start]
        place[:] = picture
        return place

    def result(self) -> Batch:
        read = [future.result() for future in self.futures]
        failures = [
            (self.start + place, error)
            for place, error in enumerate(read)
            if isinstance(error, PerisphereError)
        ]
        good = np.array([isinstance(picture, np.ndarray) for picture in read], dtype=bool)
        if self.pictures is None:
            pictures: np.ndarray | list[np.ndarray] = [p for p in read if isinstance(p, np.ndarray)]
        else:
            pictures = self.pictures if not failures else self.pictures[good]
        return Batch(self.start, self.stop, pictures, self.start + np.flatnonzero(good), failures)
