"""Files of word vectors, streamed: only wanted words are kept, whatever the size of the file.

Read are the binary and the text form of word2vec, and the text of GloVe (no head) and fastText (``.vec``),
each plain or as ``.gz``. What a file is, its bytes tell; the name does not count.
"""

import gzip
import re
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError
from perisphere.progress import Advance, bar

MAX_DIM = 8_192
MAX_WORD = 4_096
MAX_LINE = 1 << 20
"""Bounds on what one word of a file can claim, in numbers and in bytes."""

_CHUNK = 1 << 20
_STEP = 1 << 14  # words between two moves of the bar
_HEAD = re.compile(rb"(\d{1,18})[ \t](\d{1,18})[ \t]*\r?\n")


@dataclass(frozen=True)
class WordVectors:
    """The wanted words that a file has.

    Attributes:
        vectors: float32 ``[d]`` by word; they have a direction.
        dim: d.
        words: how many the file has.
        unfit: wanted words whose vector is zero or not finite, or has a length that single precision cannot
            hold.
    """

    vectors: dict[str, NDArray[np.float32]]
    dim: int
    words: int
    unfit: tuple[str, ...]


def read_word_vectors(path: Path, wanted: Collection[str]) -> WordVectors:
    """Return the vectors of the wanted words; the first counts where a word stands several times.

    Memory is bounded by a few megabytes and the vectors found, whatever the head of the file claims.

    Raises:
        PerisphereError: the file is missing, cut short, damaged, or of another form.
    """
    path = Path(path)
    keys = {word.encode(): word for word in wanted}
    with _opened(path) as file:
        stream = _Stream(file)
        stream.fill(MAX_LINE)
        head = _HEAD.match(stream.data)
        count, dim = (int(head[1]), int(head[2])) if head else (None, _dim_of_line(stream, path))
        if not 1 <= dim <= MAX_DIM:
            raise PerisphereError(
                f"{path}: claims {dim} numbers a word, not 1 to {MAX_DIM}. Name another file."
            )
        stream.at = head.end() if head else 0
        read = _read_text if head is None or _is_text(stream, dim) else _read_binary
        with bar("word vectors", count, "words") as advance:
            pairs = read(stream, count, dim, keys.keys(), path, advance)
            found = {keys[word]: vector for word, vector in pairs}
    unfit = [word for word, vector in found.items() if not _has_direction(vector)]
    for word in unfit:
        del found[word]
    return WordVectors(found, dim, stream.words, tuple(unfit))


def _has_direction(vector: NDArray[np.float32]) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(0 < vector @ vector < np.inf)


class _Stream:
    """Bytes of a file from ``at`` on, a few megabytes at a time; ``words`` counts those that went by."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.data = b""
        self.at = 0
        self.words = 0

    def fill(self, size: int) -> bool:
        """Have ``size`` bytes ahead where the file has them; tell whether there are any at all."""
        if len(self.data) - self.at < size:
            parts = [self.data[self.at :]]
            while (missing := size - sum(map(len, parts))) > 0 and (
                more := self.file.read(max(missing, _CHUNK))
            ):
                parts.append(more)
            self.data, self.at = b"".join(parts), 0
        return len(self.data) > self.at


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, unpacked where it is gzip; what is wrong with it is an error in one line."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if packed:
                with gzip.open(file) as unpacked:
                    yield unpacked  # type: ignore[misc]
            else:
                yield file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise PerisphereError(f"{path}: is damaged or cut short ({error}). Get it again.") from error
    except OSError as error:
        raise PerisphereError(f"{path}: cannot be read ({error.strerror or error}).") from error


def _dim_of_line(stream: _Stream, path: Path) -> int:
    """Return how many numbers stand behind the first word of a file without a head."""
    words = stream.data.partition(b"\n")[0].split()
    try:
        numbers = [float(word) for word in words[1:]]
    except ValueError:
        numbers = []
    if not numbers:
        raise PerisphereError(
            f"{path}: has no word vectors as word2vec (.bin or text), GloVe or fastText write them."
        )
    return len(numbers)


def _is_text(stream: _Stream, dim: int) -> bool:
    """Tell whether the first word is followed by a line of numbers, not by their bytes."""
    stream.fill(MAX_LINE)
    line = stream.data[stream.at :].partition(b"\n")[0]
    try:
        return len([float(number) for number in line.rsplit(None, dim)[1:]]) == dim
    except ValueError:
        return False


def _read_binary(
    stream: _Stream, count: int | None, dim: int, wanted: Collection[bytes], path: Path, advance: Advance
) -> Iterator[tuple[bytes, NDArray[np.float32]]]:
    """Yield wanted words of records ``WORD BYTES``; some programs end each with a line break."""
    seen: set[bytes] = set()
    width, most = 4 * dim, MAX_WORD + 2
    for number in range(1, (count or 0) + 1):
        if len(stream.data) - stream.at < most + width:
            stream.fill(most + width)
        end = stream.data.find(b" ", stream.at, stream.at + most)
        if end < 0 or end + 1 + width > len(stream.data):
            raise PerisphereError(
                f"{path}: ends or is damaged at word {number:,} of {count:,}. Get it again."
            )
        word = stream.data[stream.at : end].lstrip(b"\n")
        if word in wanted and word not in seen:
            seen.add(word)
            yield word, np.frombuffer(stream.data, "<f4", dim, end + 1).astype(np.float32)
        stream.at = end + 1 + width
        stream.words = number
        if number % _STEP == 0:
            advance(_STEP)


def _read_text(
    stream: _Stream, count: int | None, dim: int, wanted: Collection[bytes], path: Path, advance: Advance
) -> Iterator[tuple[bytes, NDArray[np.float32]]]:
    """Yield wanted words of lines ``WORD NUMBER NUMBER ...``; a word may hold blanks, which no tag does."""
    seen: set[bytes] = set()
    number = 0
    while (count is None or number < count) and stream.fill(MAX_LINE):
        stream.words = number = number + 1
        end = stream.data.find(b"\n", stream.at, stream.at + MAX_LINE)
        if end < 0 and len(stream.data) - stream.at >= MAX_LINE:
            raise PerisphereError(
                f"{path}: word {number:,} takes over {MAX_LINE:,} bytes. Name another file."
            )
        line = stream.data[stream.at : end if end >= 0 else len(stream.data)]
        stream.at += len(line) + 1
        word = next(iter(line[:MAX_WORD].split(None, 1)), b"")
        if word in wanted and word not in seen:
            vector = _numbers(line, word, dim, path, number)
            if vector is not None:
                seen.add(word)
                yield word, vector
        if number % _STEP == 0:
            advance(_STEP)
    if count is not None and number < count:
        raise PerisphereError(f"{path}: ends after {number:,} of {count:,} words. Get it again.")


def _numbers(line: bytes, word: bytes, dim: int, path: Path, number: int) -> NDArray[np.float32] | None:
    """Return the numbers of a line, ``None`` where its word has blanks and only begins with a wanted one."""
    first, *numbers = line.rsplit(None, dim)
    try:
        if len(numbers) == dim:
            with np.errstate(over="ignore"):
                vector = np.array([float(part) for part in numbers]).astype(np.float32)
            return vector if first.strip() == word else None
    except ValueError:
        pass
    raise PerisphereError(f"{path}: word {number:,} has not {dim} numbers. Get it again.")
