"""Files of words that users typed, in whatever encoding they came."""

from pathlib import Path

from perisphere.errors import PerisphereError

MAX_BYTES = 1 << 30


def read_typed(file: Path) -> str:
    """Return a file's text; lines that are not UTF-8 are read as Latin-1, null bytes are left out.

    Raises:
        PerisphereError: the file is missing or over :data:`MAX_BYTES`.
    """
    try:
        if file.stat().st_size > MAX_BYTES:
            raise PerisphereError(f"{file}: over {MAX_BYTES >> 30} GiB, too large for lists of tags.")
        data = file.read_bytes().removeprefix(b"\xef\xbb\xbf").replace(b"\0", b"")
    except FileNotFoundError:
        raise PerisphereError(f"{file}: no such list. Is the data set complete?") from None
    except OSError as error:
        raise PerisphereError(f"{file}: cannot be read ({error.strerror}).") from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return "\n".join(_decoded(line) for line in data.split(b"\n"))


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")
