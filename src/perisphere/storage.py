"""Whole or not at all: files and folders that appear under their name only when they are complete."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perisphere.errors import PerisphereError

# A folder is replaced only when one of these says that it is ours: a mistyped path must cost nobody a photo.
MARKERS = (
    "catalog.json",
    "demo.json",
    "embeddings.json",
    "encoder.json",
    "index.sqlite",
    "recipe.yaml",
    "scenes.json",
    "splits.json",
)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is synced and renamed to ``path``.

    On any error (a full disk included) the temporary file is removed and an older ``path`` stays as it was.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
    except OSError as error:
        raise _unwritable(path, error) from error
    part = Path(name)
    try:
        yield part
        _sync(part)
        part.chmod(0o644)
        part.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; on success it is renamed to ``path``.

    Raises:
        PerisphereError: ``path`` exists and ``overwrite`` is false, ``path`` holds something that is not ours
            (no file of ``MARKERS``), or the disk refuses.
    """
    path = Path(path)
    if path.exists():
        check_replaceable(path, overwrite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield part
        for file in part.rglob("*"):
            if file.is_file() and not file.is_symlink():
                _sync(file)
        part.chmod(0o755)
        if path.exists():
            old = part.with_suffix(".old")
            path.replace(old)
            part.replace(path)
            shutil.rmtree(old)
        else:
            part.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def check_replaceable(path: Path, overwrite: bool) -> None:
    """Refuse to replace ``path`` without the word for it, or where it holds something that is not ours."""
    if not overwrite:
        raise PerisphereError(f"{path}: exists already. Name another folder, or pass --overwrite.")
    ours = path.is_dir() and (any((path / name).exists() for name in MARKERS) or not any(path.iterdir()))
    if not ours:
        raise PerisphereError(f"{path}: holds something that Perisphere did not write. Name another folder.")


def _unwritable(path: Path, error: OSError) -> PerisphereError:
    return PerisphereError(f"{path}: cannot be written ({error.strerror or error}).")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
