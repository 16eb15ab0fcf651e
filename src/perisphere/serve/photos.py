"""Photos of an index as files: opened under their root, without following a link on the way."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from perisphere.catalog.images import MAX_BYTES
from perisphere.serve.refused import RefusedError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""O_NONBLOCK: opening a named pipe must not wait for a writer."""
CHUNK = 1 << 16

TYPES = (
    (b"\xff\xd8\xff", "image/jpeg", "jpg"),
    (b"\x89PNG\r\n\x1a\n", "image/png", "png"),
    (b"GIF8", "image/gif", "gif"),
    (b"BM", "image/bmp", "bmp"),
    (b"II*\x00", "image/tiff", "tif"),
    (b"MM\x00*", "image/tiff", "tif"),
)
"""How files of pictures begin, their type, and the end of their name."""


@contextmanager
def opened(root: str | None, path: str | None) -> Iterator[int]:
    """Yield a descriptor of a photo's file.

    The root is the owner's word, and may be reached over links; below it each component is opened by
    itself, relative to the one before, and may be none.

    Args:
        root: the folder that the path starts from, as the index has it.
        path: the path, as the index has it.

    Raises:
        RefusedError: 404 where there is no path, it leaves its root, a component is a link, or its end is no
            regular file.
    """
    parts = _parts(root, path)
    handles: list[int] = []
    try:
        handles.append(os.open(root or "/", _FOLDER))
        for part in parts[:-1]:
            handles.append(os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=handles[-1]))
        handles.append(os.open(parts[-1], _FILE, dir_fd=handles[-1]))
        status = os.fstat(handles[-1])
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            raise _gone()
        yield handles[-1]
    except (OSError, UnicodeEncodeError) as error:
        raise _gone() from error
    finally:
        for handle in handles:
            os.close(handle)


def read(row: dict[str, Any]) -> bytes:
    """Return the bytes of the photo of an index's row.

    Raises:
        RefusedError: 404 where it cannot be opened.
    """
    with opened(row["root"], row["path"]) as handle, os.fdopen(os.dup(handle), "rb") as file:
        return file.read(MAX_BYTES)


def kind_of(head: bytes) -> tuple[str, str]:
    """Return the type of a picture and the end of its name, by its first bytes.

    Raises:
        RefusedError: 404 for what is no picture: nothing else leaves the disk.
    """
    for start, kind, end in TYPES:
        if head.startswith(start):
            return kind, end
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp", "webp"
    raise _gone()


def _parts(root: str | None, path: str | None) -> list[str]:
    """Split a path into components below its root."""
    if path is None:
        raise RefusedError(404, "this image has no photo.")
    if path.startswith("/"):
        inside = path if root is None else path.removeprefix(root.rstrip("/") + "/")
        if root is not None and inside == path:
            raise _gone()
        path = inside.lstrip("/")
    elif root is None:
        raise _gone()
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise _gone()
    return parts


def _gone() -> RefusedError:
    return RefusedError(404, "the photo of this image cannot be opened under the folder in the index.")
