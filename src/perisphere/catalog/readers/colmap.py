"""Keypoints out of reconstructions: COLMAP's text models.

Source: Schönberger and Frahm, "Structure-from-Motion Revisited", CVPR 2016; the format is that of COLMAP's
documentation ("Output Format").
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path, PurePosixPath

import numpy as np
import polars as pl
from numpy.typing import NDArray

from perisphere.catalog.readers.keypoint_file import OUTSIDE, STRANGE, KeypointWriter, Place
from perisphere.catalog.readers.lists import MAX_LINE
from perisphere.catalog.readers.wikiscenes_lists import spelling
from perisphere.errors import PerisphereError
from perisphere.progress import track

IMAGES, CAMERAS = "images.txt", "cameras.txt"
_NO_POINT = -1
_DIGITS = 20  # of an id

Size = tuple[float, float]


def colmap_keypoints(
    folder: Path, photos: Mapping[str, Place], scratch: Path, remarks: dict[str, list[str]]
) -> pl.LazyFrame:
    """Read the keypoints that reconstructions put on the photos of a catalog.

    Each folder below ``folder`` with ``images.txt`` and ``cameras.txt`` is a reconstruction; the uppermost
    folder is its landmark. Places are scaled from the camera's size to the photo's. Points of different
    reconstructions are different points.

    Args:
        folder: of the reconstructions.
        photos: by the path below the kind (``4/1/pictures/NAME.jpg``), in the spelling of
            :func:`~perisphere.catalog.readers.wikiscenes_lists.spelling`. An image of a reconstruction is
            found by that path, by its path below the landmark, or by its name where the landmark has one
            photo of that name.
        scratch: an empty folder for batches.
        remarks: takes the images that are no photo of the catalog, and those with points outside.

    Returns:
        The side table of keypoints in pixels, to be read from ``scratch``.

    Raises:
        PerisphereError: there is no reconstruction, or a file of one is missing or has another form.
    """
    models = sorted(folder.rglob(IMAGES))
    if not models:
        raise PerisphereError(f"{folder}: holds no reconstruction, a folder with {IMAGES} and {CAMERAS}.")
    writer, names, first = KeypointWriter(scratch), _Names(photos), 0
    for file in track(models, "reading reconstructions", unit="models"):
        landmark = file.relative_to(folder).parts[0]
        sizes = _cameras(file.with_name(CAMERAS))
        highest = _NO_POINT
        for name, camera, places, points in _images(file):
            if camera not in sizes:
                raise PerisphereError(f"{file}: {name}: camera {camera} is not in {CAMERAS}.")
            highest = max(highest, int(points.max(initial=_NO_POINT)))
            photo = names.find(landmark, name)
            if photo is None:
                remarks.setdefault(STRANGE, []).append(f"{landmark}: {name}")
                continue
            shares = places / sizes[camera]
            inside = ((shares >= 0) & (shares <= 1)).all(axis=1)
            if not inside.all():
                remarks.setdefault(OUTSIDE, []).append(f"{landmark}: {name}")
            writer.add(photo, points[inside] + first, shares[inside])
        first += highest + 1
    return writer.finished()


class _Names:
    """Photos by what a reconstruction may call them."""

    def __init__(self, photos: Mapping[str, Place]) -> None:
        self._photos = photos
        self._by_name: dict[tuple[str, str], list[Place]] = defaultdict(list)
        for path, photo in photos.items():
            pure = PurePosixPath(path)
            self._by_name[pure.parts[0], pure.name].append(photo)

    def find(self, landmark: str, name: str) -> Place | None:
        name = spelling(name)
        found = self._photos.get(name) or self._photos.get(f"{landmark}/{name}")
        alike = self._by_name.get((landmark, PurePosixPath(name).name), [])
        return found or (alike[0] if len(alike) == 1 else None)


def _cameras(file: Path) -> dict[int, Size]:
    """Return width and height in pixels by camera."""
    sizes = {}
    for number, line in _lines(file):
        if not line:
            continue
        words = line.split()
        try:
            width, height = float(words[2]), float(words[3])
        except (ValueError, IndexError):
            width = height = 0.0
        if not (_is_id(words) and 0 < width < np.inf and 0 < height < np.inf):
            raise PerisphereError(f"{file}: line {number} is not CAMERA_ID MODEL WIDTH HEIGHT ...")
        sizes[int(words[0])] = (width, height)
    return sizes


def _images(file: Path) -> Iterator[tuple[str, int, NDArray[np.float64], NDArray[np.int64]]]:
    """Yield name, camera, places float64 ``[n, 2]`` in its pixels and points int64 ``[n]`` of every image.

    An image has two lines, of which the second is empty where it shows no point.
    """
    lines = _lines(file)
    for (number, head), (_, points) in zip_longest(lines, lines, fillvalue=(0, "")):
        words = head.split(maxsplit=9)
        if len(words) != 10 or not _is_id(words[8:]):
            raise PerisphereError(
                f"{file}: line {number} is not IMAGE_ID, seven of the pose, CAMERA_ID, NAME."
            )
        try:
            values = np.array(points.split(), np.float64).reshape(-1, 3)
        except ValueError as error:
            raise PerisphereError(f"{file}: line {number + 1} is not X Y POINT3D_ID ...") from error
        seen = values[values[:, 2] >= 0]
        if not np.isfinite(seen).all() or (seen[:, 2] >= 2**53).any():
            raise PerisphereError(f"{file}: line {number + 1} has numbers that no place or point can have.")
        yield words[9], int(words[8]), seen[:, :2], seen[:, 2].astype(np.int64)


def _is_id(words: list[str]) -> bool:
    """Say whether the first word is plain digits, few enough to be an id: int() takes ``1_0`` as well."""
    return bool(words) and words[0].isdecimal() and len(words[0]) <= _DIGITS


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of every line that is no comment, empty ones too."""
    try:
        with file.open(encoding="utf-8-sig") as opened:
            for number, line in enumerate(iter(lambda: opened.readline(MAX_LINE), ""), 1):
                if len(line) == MAX_LINE:
                    raise PerisphereError(f"{file}: line {number} is too long for a reconstruction.")
                if not line.startswith("#"):
                    yield number, line.strip()
    except FileNotFoundError:
        raise PerisphereError(f"{file}: no such file of the reconstruction.") from None
    except OSError as error:
        raise PerisphereError(f"{file}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise PerisphereError(f"{file}: not UTF-8 text at byte {error.start}.") from error
