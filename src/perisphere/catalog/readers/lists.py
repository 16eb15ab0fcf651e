"""Text files of a data set with one ``ID VALUE`` a line, and paths that stay inside its folder."""

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TextIO, cast

from perisphere.errors import PerisphereError

MAX_LINE = 16 << 20
"""Characters of a line that are too many to be one of a list."""


def read_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of every line that is not blank, of a plain file or one packed by gzip.

    Raises:
        PerisphereError: the file is missing or not text, or a line is longer than :data:`MAX_LINE`.
    """
    try:
        with _opened(file) as lines:
            for number, line in enumerate(iter(lambda: lines.readline(MAX_LINE), ""), 1):
                if len(line) == MAX_LINE:
                    raise PerisphereError(f"{file}: line {number} is too long for a list.")
                if "\0" in line:
                    raise PerisphereError(f"{file}: line {number} holds a null byte; this is not text.")
                if line.strip():
                    yield number, line.strip()
    except FileNotFoundError:
        raise PerisphereError(f"{file}: no such list. Is the data set complete?") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise PerisphereError(f"{file}: cannot be read ({reason}).") from error
    except UnicodeDecodeError as error:
        raise PerisphereError(f"{file}: not UTF-8 text at byte {error.start}.") from error


def _opened(file: Path) -> TextIO:
    if file.suffix == ".gz":
        return cast(TextIO, gzip.open(file, "rt", encoding="utf-8-sig"))
    return file.open(encoding="utf-8-sig")


def read_pairs(file: Path) -> dict[str, str]:
    """Return value by id of a file of lines ``ID VALUE`` (also ``ID, VALUE``), in their order.

    Raises:
        PerisphereError: the file is missing or not text, or a line has no value or repeats an id.
    """
    pairs: dict[str, str] = {}
    for number, line in read_lines(file):
        words = line.split(maxsplit=1)
        id, value = words[0].removesuffix(","), words[-1]
        if len(words) < 2 or not id:
            raise PerisphereError(f"{file}: line {number}: {line[:80]!r} is not ID VALUE.")
        if id in pairs:
            raise PerisphereError(f"{file}: line {number}: the id {id[:80]!r} is there already.")
        pairs[id] = value
    return pairs


def is_inside(path: str) -> bool:
    """Tell whether a relative path with ``/`` stays in the folder that it starts from."""
    pure = PurePosixPath(path)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts


def class_labels(names: Mapping[str, str]) -> dict[str, str]:
    """Return label by class id: the class's name in one line, its id where it has none.

    The id stands behind a name that several classes share, or that is the id of another: a label means one
    class.

    Args:
        names: name by id, of the classes that the data set has photos of.
    """
    clean = {id: " ".join(name.split()) or id for id, name in names.items()}
    counts = Counter(clean.values())
    return {
        id: f"{name} ({id})" if counts[name] > 1 or (name in clean and name != id) else name
        for id, name in clean.items()
    }
