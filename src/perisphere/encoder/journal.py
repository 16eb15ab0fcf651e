"""The unfinished half of an embeddings folder: what a killed run had done is kept, block by block."""

import fcntl
import json
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from perisphere.encoder.embeddings import VECTORS
from perisphere.errors import PerisphereError

JOURNAL = "journal.jsonl"


class Journal:
    """Vectors appended in blocks to ``.NAME.partial`` beside the folder that they will become.

    A block counts once its line in the journal is on the disk, and its line is written after its vectors are.
    A line that was torn by a kill, and vectors without a line, are cut off when the journal is opened again.
    The first line holds the state (encoder, images, precision): another state starts from nothing.
    With ``half`` the vectors are kept as float16, in half the space.

    Attributes:
        done: images dealt with, skipped ones included.
        kept: images that have a vector.
        skipped: row and reason of each image that has none.
        lengths: of the features behind the vectors, where they are kept.
        discarded: whether the work of another state was thrown away.
    """

    def __init__(self, out: Path, dim: int, state: dict[str, Any], *, half: bool = False) -> None:
        self.folder = out.parent / f".{out.name}.partial"
        self.dim, self.state = dim, state
        self.dtype = np.dtype(np.float16 if half else np.float32)
        self.done = self.kept = 0
        self.skipped: list[tuple[int, str]] = []
        self.lengths: list[float] = []
        self.discarded = False

    def __enter__(self) -> Self:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lines = (self.folder / JOURNAL).open("a+b")
            self._lock()
            self._vectors = (self.folder / VECTORS).open("a+b")
            self._recover()
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._vectors.close()
        self._lines.close()

    def append(
        self,
        vectors: np.ndarray,
        *,
        done: int,
        skipped: list[tuple[int, str]],
        lengths: list[float] | None = None,
    ) -> None:
        """Add vectors ``[m, dim]`` and bring it to the disk.

        Args:
            vectors: of the images since the last block, without the skipped ones.
            done: images dealt with so far.
            skipped: row and reason of the skipped ones since the last block.
            lengths: of the features behind ``vectors``, if they are to be kept.
        """
        line: dict[str, Any] = {"done": done, "kept": self.kept + len(vectors), "skipped": skipped}
        if lengths is not None:
            line["lengths"] = lengths
        try:
            self._vectors.write(np.ascontiguousarray(vectors, self.dtype).data)
            _synced(self._vectors)
            self._write_line(line)
        except OSError as error:
            raise self._unwritable(error) from error
        self.done, self.kept = done, self.kept + len(vectors)
        self.skipped += skipped
        self.lengths += lengths or []

    def finish(self, folder: Path, name: str = VECTORS) -> np.ndarray:
        """Put the vectors into ``folder`` as a whole ``.npy`` file and map it; the journal stays as it is."""
        try:
            with (self.folder / VECTORS).open("r+b") as file:
                file.write(_header(self.kept, self.dim, self.dtype))
                _synced(file)
            _linked(self.folder / VECTORS, folder / name)
            return np.load(folder / name, mmap_mode="r", allow_pickle=False)
        except OSError as error:
            raise self._unwritable(error) from error

    def remove(self) -> None:
        """Delete the partial folder, once its vectors are safe elsewhere."""
        shutil.rmtree(self.folder)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._lines, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lines.close()
            raise PerisphereError(
                f"{self.folder}: another run is writing here; wait for it, or name another output folder."
            ) from error

    def _recover(self) -> None:
        """Take up the blocks that are whole, and cut off what follows them."""
        self._lines.seek(0)
        length = 0
        for number, line in enumerate(self._lines.read().splitlines(keepends=True)):
            block = _parsed(line)
            if block is None or (number == 0 and block != self.state):
                self.discarded = number == 0 and block is not None
                break
            if number:
                self.done, self.kept = block["done"], block["kept"]
                self.skipped += [(row, reason) for row, reason in block["skipped"]]
                self.lengths += block.get("lengths", [])
            length += len(line)
        header = _header(0, self.dim, self.dtype)
        size = len(header) + self.kept * self.dim * self.dtype.itemsize
        if length and (self.folder / VECTORS).stat().st_size >= size:
            self._lines.truncate(length)
            self._vectors.truncate(size)
        else:
            self._start_again(header)

    def _start_again(self, header: bytes) -> None:
        self.done = self.kept = 0
        self.skipped, self.lengths = [], []
        # The file may be a finished folder's too, by a hard link: that one must stay as it is.
        self._vectors.close()
        (self.folder / VECTORS).unlink()
        self._vectors = (self.folder / VECTORS).open("a+b")
        self._vectors.write(header)
        _synced(self._vectors)
        self._lines.truncate(0)
        self._write_line(self.state)

    def _write_line(self, value: dict[str, Any]) -> None:
        self._lines.write(json.dumps(value).encode() + b"\n")
        _synced(self._lines)

    def _unwritable(self, error: OSError) -> PerisphereError:
        return PerisphereError(
            f"{self.folder}: cannot be written ({error.strerror or error}); "
            "make room and run the same command again: it goes on from here."
        )


def _header(rows: int, dim: int, dtype: np.dtype) -> bytes:
    """Return the ``.npy`` header of ``dtype`` ``[rows, dim]``: 128 bytes whatever ``rows`` is."""
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': ({rows}, {dim}), }}"
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117).encode() + b"\n"


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        return json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None


def _synced(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _linked(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
