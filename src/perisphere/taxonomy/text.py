"""Lines of text files from outside, plain or gzipped, never more than fits in memory."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from perisphere.errors import PerisphereError

MAX_BYTES = 256 << 20
GZIP = b"\x1f\x8b"


def read_text(path: Path) -> str:
    """Return what a UTF-8 text file holds; a gzipped one (by its first bytes) is unpacked.

    Raises:
        PerisphereError: the file is missing, empty, binary, damaged, or holds more than 256 MiB.
    """
    path = Path(path)
    data = _read_bytes(path)
    if not data.strip():
        raise PerisphereError(f"{path}: is empty.")
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        raise PerisphereError(f"{path}: line {line}: is binary, not text.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise PerisphereError(f"{path}: line {line}: is not UTF-8 text. Save the file as UTF-8.") from None


def filled_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number (from 1) and the text of each line that is not blank, stripped."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if stripped := line.strip():
            yield number, stripped


def _read_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP
        with gzip.open(path) if packed else path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise PerisphereError(f"{path}: is damaged ({error}). Get it again.") from error
    except OSError as error:
        raise PerisphereError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if len(data) > MAX_BYTES:
        raise PerisphereError(f"{path}: holds over {MAX_BYTES >> 20} MiB, too large for a list of classes.")
    return data
