"""Check many images at once."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from perisphere.catalog.images import ImageError, ImageInfo, probe
from perisphere.catalog.threads import in_order
from perisphere.progress import track

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
    # Pillow warns of broken metadata around good pixels; what spoils pixels is an error already.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield from track(in_order(_verify, paths, workers=workers), "checking images", len(paths))


def _verify(path: Path) -> Verdict:
    try:
        return probe(path)
    except ImageError as error:
        return error
