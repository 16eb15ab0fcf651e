"""What lies in a folder of photos now, and which rows of an index are photos of it."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from perisphere.catalog.images import MAX_BYTES, display
from perisphere.catalog.readers.folders import list_images
from perisphere.catalog.threads import in_order
from perisphere.index.kept_files import UNSURE, Content, Filed, Place
from perisphere.index.waiting import patient_bar

SETTLED_NS = 2_000_000_000
"""File systems count time in steps of up to two seconds: within one, a change may leave the time as it is."""

Written = tuple[int, int]
"""The size of a file in bytes, and when it or what the system keeps of it last changed, in nanoseconds."""


@dataclass
class Scan:
    """The photos in a folder.

    Attributes:
        root: the folder, absolute.
        written: size and time of each photo that can be looked at, by its path from ``root``.
        places: what the path of each says of split, label and categories.
        unreadable: path and reason of what cannot be used.
    """

    root: Path
    written: dict[str, Written] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    unreadable: list[tuple[str, str]] = field(default_factory=list)


def scan(folder: Path, without: Path) -> Scan:
    """List the photos below ``folder`` as ``read folders`` does, with size and time; none is opened.

    Args:
        folder: the photos'.
        without: a folder whose files are not looked at (the index's own).

    Raises:
        PerisphereError: no such folder, or it cannot be listed.
    """
    listing = list_images(folder.absolute())
    found = Scan(listing.root, unreadable=[(item.path, item.reason) for item in listing.bad])
    own = f"{os.path.realpath(without)}{os.sep}"
    base = os.path.realpath(listing.root)
    shared: dict[Place, Place] = {}  # the photos of a folder hold one in common
    for row in listing.rows:
        path = row["path"]
        if f"{base}{os.sep}{path}".startswith(own):
            continue
        try:
            found.written[path] = written(listing.root / path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            found.unreadable.append((path, f"cannot be read ({reason})"))
            continue
        place = Place(row["split"], row["label"], tuple(row["categories"]))
        found.places[path] = shared.setdefault(place, place)
    return found


def written(path: Path) -> Written:
    """Return size and time of a photo's file.

    Raises:
        OSError: it is not there, or may not be looked at.
        ValueError: it is no file, or larger than any photo may be.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file")
    if status.st_size > MAX_BYTES:
        raise ValueError(f"{status.st_size:,} bytes, more than the limit of {MAX_BYTES:,} bytes")
    # A program may set the one as it likes, and not the other.
    return status.st_size, max(status.st_mtime_ns, status.st_ctime_ns)


def below(rows: Iterable[Filed], folder: Path, without: Path) -> dict[str, list[Filed]]:
    """Return the rows whose photos lie below ``folder``, by their paths from it; several may share a photo.

    Args:
        rows: of an index.
        folder: the folder.
        without: a folder whose photos are left out (the index's own).
    """
    base = f"{os.path.realpath(folder)}{os.sep}"
    own = f"{os.path.realpath(without)}{os.sep}"
    roots: dict[str, str] = {}
    found: dict[str, list[Filed]] = defaultdict(list)
    for row in rows:
        root = row.root or "."
        if root not in roots:
            roots[root] = os.path.realpath(root)
        path = os.path.normpath(os.path.join(roots[root], row.path))  # noqa: PTH118 (a hundred thousand paths)
        if path.startswith(base) and not path.startswith(own):
            found[path[len(base) :].replace(os.sep, "/")].append(row)
    return dict(found)


def contents(found: Scan, known: Mapping[str, list[Filed]]) -> dict[str, Content]:
    """Return what is in each photo; only files whose size or time the index does not know are read.

    Files that cannot be read are taken out of ``found`` and listed there.
    """
    same: dict[str, Content] = {}
    for path, (size, changed) in found.written.items():
        notes = (row.content for row in known.get(path, ()))
        note = next((note for note in notes if note and (note.size, note.changed) == (size, changed)), None)
        if note is not None:
            same[path] = note
    unknown = [path for path in found.written if path not in same]
    with patient_bar("comparing", len(unknown)) as advance:
        for path, content in zip(unknown, in_order(lambda path: _hashed(found, path), unknown), strict=True):
            advance()
            if isinstance(content, Content):
                same[path] = content
            else:
                del found.written[path]
                found.unreadable.append((path, content))
    return same


def is_gone(path: Path) -> bool:
    """Say whether nothing lies there any more; what merely cannot be looked at is not gone."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _hashed(found: Scan, path: str) -> Content | str:
    """Return what is in a file, or why it cannot be read."""
    size, changed = found.written[path]
    settled = time.time_ns() - changed > SETTLED_NS
    try:
        # O_NONBLOCK: a named pipe that took the file's place must not be waited for.
        with open(found.root / path, "rb", opener=_without_waiting) as file:
            digest = hashlib.file_digest(file, "sha256").digest()
    except (OSError, ValueError) as error:
        return f"cannot be read ({getattr(error, 'strerror', None) or display(str(error))})"
    return Content(size, changed if settled else UNSURE, digest)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
