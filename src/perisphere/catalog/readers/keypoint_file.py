"""Keypoints of many photos in one JSON file, read as a stream: ``{photo: {point: [x, y]}}``.

The file of WikiScenes has 982 MB packed; as Python objects it would need many times its size. Here it passes
by, and what is kept goes to Parquet in batches.
"""

import gzip
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import ijson
import numpy as np
import polars as pl
from numpy.typing import NDArray

from perisphere.catalog.catalog import KEYPOINTS
from perisphere.errors import PerisphereError
from perisphere.progress import bar

STRANGE = "photo of the keypoints that is not in the catalog"
OUTSIDE = "photo with keypoints outside of it, which are left out"
NAMELESS = "photo with keypoints whose id is no whole number, which are left out"

_BATCH = 1 << 20  # keypoints that are written together
_BLOCK = 1 << 16  # keypoints of one photo that are taken together
_READ = 1 << 20  # bytes

Place = tuple[int, int, int]
"""Id, width and height of a photo."""


def stream_keypoints(
    file: Path,
    photos: Mapping[str, Place],
    scratch: Path,
    remarks: dict[str, list[str]],
    spell: Callable[[str], str],
) -> pl.LazyFrame:
    """Read the keypoints of the photos of a catalog, never all at once.

    Args:
        file: JSON, plain, packed by gzip (``.gz``) or the only JSON file of a ``.zip``: photo -> id of a
            point -> ``[x, y]`` as fractions of width and height, ``x`` to the right and ``y`` down. The same
            id is the same point in all photos.
        photos: by name in the spelling of ``spell``.
        scratch: an empty folder for the batches.
        remarks: takes the photos that are not among ``photos``, and those with keypoints that cannot be used.
        spell: brings a name of the file to the spelling of ``photos``.

    Returns:
        The side table :data:`~perisphere.catalog.catalog.KEYPOINTS` in pixels, to be read from ``scratch``
        batch by batch.

    Raises:
        PerisphereError: the file cannot be read, is broken, or has another form.
    """
    writer = KeypointWriter(scratch)
    with _opened(file) as opened:
        for name, points, places in _blocks(opened, file):
            photo = photos.get(spell(name))
            if photo is None:
                _remark(remarks, STRANGE, name)
                continue
            numbers = _numbers(points)
            inside = ((places >= 0) & (places <= 1)).all(axis=1)
            for reason, wrong in ((NAMELESS, numbers < 0), (OUTSIDE, ~inside)):
                if wrong.any():
                    _remark(remarks, reason, name)
            kept = inside & (numbers >= 0)
            writer.add(photo, numbers[kept], places[kept])
    return writer.finished()


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class KeypointWriter:
    """Keypoints to Parquet files of a bounded number of rows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tables: list[pl.DataFrame] = []
        self._rows = self._files = 0

    def add(self, photo: Place, points: NDArray[np.int64], places: NDArray[np.float64]) -> None:
        """Take keypoints of one photo: ids ``[n]`` and fractions of its width and height ``[n, 2]``."""
        image, width, height = photo
        columns = {
            "image": np.full(len(points), image),
            "point": points,
            "x": (places[:, 0] * width).astype(np.float32),
            "y": (places[:, 1] * height).astype(np.float32),
        }
        self._tables.append(pl.DataFrame(columns, schema=KEYPOINTS))
        self._rows += len(points)
        if self._rows >= _BATCH:
            self._write()

    def finished(self) -> pl.LazyFrame:
        """Return all that was added."""
        self._write()
        return pl.scan_parquet([self._folder / _part(number) for number in range(self._files)])

    def _write(self) -> None:
        tables = [pl.DataFrame(schema=KEYPOINTS), *self._tables]
        pl.concat(tables).write_parquet(self._folder / _part(self._files))
        self._files += 1
        self._tables, self._rows = [], 0


def _part(number: int) -> str:
    return f"keypoints-{number:06}.parquet"


def _numbers(points: list[str]) -> NDArray[np.int64]:
    """Return the ids as numbers, -1 where one is no whole number from 0."""
    together = "".join(points)
    if together.isascii() and together.isdigit() and "" not in points:
        try:
            return np.array(list(map(int, points)), np.int64)
        except (ValueError, OverflowError):
            pass  # one is too long
    limit = np.iinfo(np.int64).max
    digits = [point.isascii() and point.isdigit() and len(point) < 20 for point in points]
    numbers = [int(point) if good else -1 for point, good in zip(points, digits, strict=True)]
    return np.array([number if number <= limit else -1 for number in numbers], np.int64)


def _remark(remarks: dict[str, list[str]], reason: str, name: str) -> None:
    names = remarks.setdefault(reason, [])
    if not names or names[-1] != name:  # a photo of many keypoints comes in several blocks
        names.append(name)


def _blocks(opened: _Readable, file: Path) -> Iterator[tuple[str, list[str], NDArray[np.float64]]]:
    """Yield photo, ids of points and their places float64 ``[n, 2]``, as the file goes on."""
    try:
        for name, points, numbers in _checked(ijson.basic_parse(opened, use_float=True, buf_size=_READ)):
            yield name, points, np.array(numbers, np.float64).reshape(-1, 2)
    except (ijson.JSONError, _FormError) as error:
        reason = " ".join(str(error).split())[:120]
        raise PerisphereError(f"{file}: no whole file of keypoints ({reason}). Get it again.") from error
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise PerisphereError(f"{file}: broken ({error}). Get it again.") from error


class _FormError(Exception):
    """The file is JSON of another form."""


def _checked(events: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, list[str], list[float]]]:
    """Yield photo, ids of points, and their coordinates in a row."""
    _expect(next(events), "start_map", "the file")
    for event, name in events:
        if event == "end_map":
            break
        _expect(next(events), "start_map", name)
        points: list[str] = []
        numbers: list[float] = []
        for inner, point in events:
            if inner == "end_map":
                break
            good = next(events)[0] == "start_array"
            if good:
                (first, x), (second, y) = next(events), next(events)
                good = first == second == "number" and next(events)[0] == "end_array"
            if not good:
                raise _FormError(f"{name}: point {point} is no [x, y]")
            points.append(point)
            numbers += (x, y)
            if len(points) == _BLOCK:
                yield name, points, numbers
                points, numbers = [], []
        yield name, points, numbers
    if next(events, None) is not None:  # the parser itself raises at anything but white space
        raise _FormError("there is more behind the object")


def _expect(found: tuple[str, Any], event: str, name: str) -> None:
    if found[0] != event:
        raise _FormError(f"{name} is no object")


@contextmanager
def _opened(file: Path) -> Iterator[_Readable]:
    """Open the JSON of a file, whose bar moves as it is read."""
    with ExitStack() as stack:
        try:
            size: int | None = None
            if file.suffix == ".zip":
                packed = stack.enter_context(zipfile.ZipFile(file))
                member = _member(packed, file)
                size = member.file_size
                inner: _Readable = stack.enter_context(packed.open(member))
            elif file.suffix == ".gz":
                inner = stack.enter_context(gzip.open(file, "rb"))
            else:
                size = file.stat().st_size
                inner = stack.enter_context(file.open("rb"))
        except FileNotFoundError:
            raise PerisphereError(f"{file}: no such file of keypoints.") from None
        except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            reason = getattr(error, "strerror", None) or error
            raise PerisphereError(f"{file}: cannot be read ({reason}). Get it again.") from error
        yield _Counted(inner, stack.enter_context(bar("reading keypoints", size, "bytes")))


def _member(packed: zipfile.ZipFile, file: Path) -> zipfile.ZipInfo:
    members = [
        member
        for member in packed.infolist()
        if member.filename.endswith(".json") and not member.filename.startswith("__MACOSX/")
    ]
    if len(members) != 1:
        raise PerisphereError(f"{file}: holds {len(members)} JSON files where one belongs.")
    return members[0]


class _Counted:
    """A file whose reading is counted."""

    def __init__(self, file: _Readable, advance: Callable[[int], None]) -> None:
        self._file, self._advance = file, advance

    def read(self, size: int, /) -> bytes:
        block = self._file.read(size)
        self._advance(len(block))
        return block
