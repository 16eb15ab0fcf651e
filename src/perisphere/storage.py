"""Whole or not at all: files and folders that appear under their name only when they are complete."""

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from perisphere.errors import PerisphereError

# A folder is replaced only when one of these says that it is ours: a mistyped path must cost nobody a photo.
MARKERS = (
    "catalog.json",
    "codes.json",
    "demo.json",
    "embeddings.json",
    "encoder.json",
    "features.json",
    "index.sqlite",
    "recipe.yaml",
    "runtime.json",
    "scenes.json",
    "similar.json",
    "splits.json",
    "tags.json",
)

_SYNCS = 32  # files that wait for the disk together


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is synced and renamed to ``path``.

    On any error (a full disk included) the temporary file is removed and an older ``path`` stays as it was.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _tidy(path)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
    except OSError as error:
        raise _unwritable(path, error) from error
    part = Path(name)
    try:
        with _held(part):
            yield part
            _sync(part)
            part.chmod(0o644)
            part.replace(path)
            _sync(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def whole_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; on success it is renamed to ``path``.

    Raises:
        PerisphereError: ``path`` exists and ``overwrite`` is false, ``path`` holds something that is not ours
            (no file of ``MARKERS``), or the disk refuses.
    """
    path = Path(path)
    check_replaceable(path, overwrite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with _held(part):
            yield part
            _sync_all([file for file in part.rglob("*") if file.is_file() and not file.is_symlink()])
            part.chmod(0o755)
            if path.exists():
                old = part.with_suffix(".old")
                path.replace(old)
                part.replace(path)
                shutil.rmtree(old, ignore_errors=True)
            else:
                part.replace(path)
            _sync(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def check_replaceable(path: Path, overwrite: bool) -> None:
    """Refuse to replace ``path`` without the word for it, or where it holds something that is not ours.

    What a run that was killed while it replaced ``path`` had put aside is put back first.
    """
    try:
        _tidy(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    if not path.exists():
        return
    if not overwrite:
        raise PerisphereError(f"{path}: exists already. Name another folder, or pass --overwrite.")
    ours = path.is_dir() and (any((path / name).exists() for name in MARKERS) or not any(path.iterdir()))
    if not ours:
        raise PerisphereError(f"{path}: holds something that Perisphere did not write. Name another folder.")


def _tidy(path: Path) -> None:
    """Put back or remove what killed runs left beside ``path``: its old self, and parts without a writer."""
    if not path.parent.is_dir():
        return
    left = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]+\.(part|old)")
    names = sorted(name for name in os.listdir(path.parent) if left.fullmatch(name))  # noqa: PTH208
    for other in (path.parent / name for name in names):
        if not _abandoned(other.with_suffix(".part")):
            continue
        if other.suffix == ".old" and not path.exists():
            other.replace(path)
        elif other.is_dir():
            shutil.rmtree(other, ignore_errors=True)
        else:
            other.unlink(missing_ok=True)


@contextmanager
def _held(part: Path) -> Iterator[None]:
    """Mark a part as being written, for as long as this process lives."""
    handle = os.open(part, os.O_RDONLY)
    try:
        _locked(handle)
        yield
    finally:
        os.close(handle)


def _abandoned(part: Path) -> bool:
    """Tell whether no process writes this part, or it is gone; one that cannot be asked is left alone."""
    try:
        handle = os.open(part, os.O_RDONLY)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        return _locked(handle)
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held by another, or a file system without locks
        return False
    return True


def _unwritable(path: Path, error: OSError) -> PerisphereError:
    return PerisphereError(
        f"{path}: cannot be written ({error.strerror or error}). "
        "Make room, or name a place that can be written."
    )


def _sync_all(files: list[Path]) -> None:
    """Sync many files at once: the disk takes requests that wait together in one go."""
    with ThreadPoolExecutor(_SYNCS) as pool:
        for _ in pool.map(_sync, files):
            pass


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
