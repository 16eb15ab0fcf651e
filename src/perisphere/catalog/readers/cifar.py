"""CIFAR-10 and CIFAR-100: photos of 32 x 32 pixels in arrays, as Python pickles or in the binary version.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from perisphere.catalog.export import folder_name
from perisphere.catalog.readers.listing import Listing
from perisphere.catalog.readers.lists import class_labels, read_lines
from perisphere.errors import PerisphereError, UsageError
from perisphere.foreign.plain_pickle import read_plain_pickle

SIDE = 32
_BYTES = 3 * SIDE * SIDE

# Classes of CIFAR-100 that a part of it has, and the number that the first of them gets.
SUBSETS = {"a": (range(50), 0), "b": (range(50, 100), 50), "b-consec": (range(50, 100), 0)}


@dataclass(frozen=True)
class _Version:
    """How one version of a data set is stored.

    Attributes:
        folder: that the published archive unpacks to.
        train: files of the training photos; each is there.
        test: file of the test photos.
        names: file of the class names, and of the coarser ones, or the one that has both.
        keys: of the classes in a pickle, and of the coarser ones; none in the binary version.
        classes: number of them, where no file names them.
        levels: 2 where photos have a coarser class too.
    """

    folder: str
    train: tuple[str, ...]
    test: str
    names: tuple[str, ...]
    keys: tuple[str, ...]
    classes: int
    levels: int


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
_CIFAR10 = (
    _Version("cifar-10-batches-py", _BATCHES, "test_batch", ("batches.meta",), ("labels",), 10, 1),
    _Version(
        "cifar-10-batches-bin",
        tuple(f"{name}.bin" for name in _BATCHES),
        "test_batch.bin",
        ("batches.meta.txt",),
        (),
        10,
        1,
    ),
)
_CIFAR100 = (
    _Version("cifar-100-python", ("train",), "test", ("meta",), ("fine_labels", "coarse_labels"), 100, 2),
    _Version(
        "cifar-100-binary",
        ("train.bin",),
        "test.bin",
        ("fine_label_names.txt", "coarse_label_names.txt"),
        (),
        100,
        2,
    ),
)


@dataclass(frozen=True)
class _Batch:
    """Photos of one file.

    Attributes:
        pixels: uint8 ``[n, 3072]``, the red, green and blue plane of each photo, row by row.
        labels: int64 ``[levels, n]``, the class and, where there is one, the coarser class.
    """

    pixels: np.ndarray
    labels: np.ndarray


def list_cifar10(root: Path) -> Listing:
    """List CIFAR-10: splits ``train`` and ``test``.

    Args:
        root: the folder of ``data_batch_1`` to ``5``, ``test_batch`` and ``batches.meta``, of the same as
            ``.bin``, or the folder above it.

    Raises:
        PerisphereError: a file is missing, damaged, or asks for anything but plain values.
    """
    return _list(root, _CIFAR10, None)


def list_cifar100(root: Path, *, subset: str | None = None) -> Listing:
    """List CIFAR-100: splits ``train`` and ``test``; the categories are the coarse and the fine class.

    Args:
        root: the folder of ``train``, ``test`` and ``meta``, of ``train.bin`` and ``test.bin``, or the one
            above it.
        subset: ``a`` (classes 0 to 49), ``b`` (50 to 99, which keep their numbers) or ``b-consec`` (the same,
            numbered from 0); all classes where it is not given.

    Raises:
        UsageError: an unknown subset.
        PerisphereError: a file is missing, damaged, or asks for anything but plain values.
    """
    if subset is not None and subset not in SUBSETS:
        raise UsageError(f"subset: {subset!r} is none of {', '.join(SUBSETS)}.")
    return _list(root, _CIFAR100, subset)


def _list(root: Path, versions: tuple[_Version, ...], subset: str | None) -> Listing:
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder.")
    folder, version = _find(root, versions)
    for name in (*version.train, version.test):
        if not (folder / name).is_file():
            raise PerisphereError(f"{folder}: {name} is missing. Unpack the whole archive.")
    names = _names(folder, version)
    kept, first = SUBSETS[subset] if subset else (range(len(names[0])), 0)
    kept = range(kept.start, min(kept.stop, len(names[0])))
    shown = {str(number): names[0][old] for number, old in enumerate(kept, first)}
    listing = Listing(folder, classes=class_labels(shown))
    labels = dict(zip(kept, listing.classes.values(), strict=True))
    listing.packed = _rows(folder, version, names, labels)
    return listing


def _find(root: Path, versions: tuple[_Version, ...]) -> tuple[Path, _Version]:
    for version in versions:
        for folder in (root, root / version.folder):
            if any((folder / name).is_file() for name in (*version.train, version.test)):
                return folder, version
    known = " nor ".join(version.train[0] for version in versions)
    raise PerisphereError(f"{root}: holds no images of this data set (neither {known}).")


def _names(folder: Path, version: _Version) -> list[list[str]]:
    """Return the names of the classes and of the coarser classes; empty where no file names them."""
    if not (folder / version.names[0]).is_file():
        return [[""] * version.classes]
    if not version.keys:
        files = [folder / name for name in version.names if (folder / name).is_file()]
        return [[line for _, line in read_lines(file)] for file in files]
    file = folder / version.names[0]
    known = _dict(file)
    wanted = [key.replace("labels", "label_names") for key in version.keys]
    found = [known[name] for name in wanted if name in known]
    texts = [[_text(name) for name in names] for names in found if isinstance(names, list)]
    if wanted[0] not in known or len(texts) < len(found) or any(None in names for names in texts):
        raise PerisphereError(f"{file}: holds no list of texts {wanted[0]!r}. Get it again.")
    return [[name or "" for name in names] for names in texts]


def _text(value: Any) -> str | None:
    return (
        value.decode("utf-8", "replace")
        if isinstance(value, bytes)
        else value
        if isinstance(value, str)
        else None
    )


def _rows(
    folder: Path, version: _Version, names: list[list[str]], labels: Mapping[int, str]
) -> Iterator[dict[str, Any]]:
    """Yield a row a photo, its pixels with it, holding one file in memory at a time."""
    for split, files in (("train", version.train), ("test", (version.test,))):
        number = 0
        for name in files:
            batch = _read(folder / name, version)
            _check(folder / name, batch.labels, names)
            for pixels, classes in zip(batch.pixels, batch.labels.T.tolist(), strict=True):
                if classes[0] in labels:
                    yield _row(split, number, pixels, classes, labels[classes[0]], names)
                number += 1
            del batch


def _row(
    split: str, number: int, pixels: np.ndarray, classes: list[int], label: str, names: list[list[str]]
) -> dict[str, Any]:
    coarse = [names[1][classes[1]]] if len(names) > 1 and len(classes) > 1 else []
    return {
        "path": f"{split}/{folder_name(label)}/{number:05d}.png",
        "split": split,
        "label": label,
        "categories": [*coarse, label],
        "pixels": pixels.reshape(3, SIDE, SIDE).transpose(1, 2, 0),
    }


def _check(file: Path, labels: np.ndarray, names: list[list[str]]) -> None:
    for level, known in zip(labels, names, strict=False):
        wrong = np.flatnonzero((level < 0) | (level >= len(known)))
        if len(wrong):
            raise PerisphereError(
                f"{file}: photo {wrong[0]} is of class {level[wrong[0]]}, but there are {len(known)} classes."
            )


def _read(file: Path, version: _Version) -> _Batch:
    return _from_pickle(file, version) if version.keys else _from_records(file, version)


def _from_records(file: Path, version: _Version) -> _Batch:
    """Read records of a byte for each level, the coarsest first, and the pixels."""
    size = version.levels + _BYTES
    try:
        data = np.fromfile(file, np.uint8)
    except OSError as error:
        raise PerisphereError(f"{file}: cannot be read ({error.strerror}).") from error
    if len(data) % size:
        raise PerisphereError(
            f"{file}: truncated: {len(data)} bytes are no multiple of {size}. Get it again."
        )
    records = data.reshape(-1, size)
    return _Batch(records[:, version.levels :], records[:, : version.levels].T[::-1].astype(np.int64))


def _from_pickle(file: Path, version: _Version) -> _Batch:
    known = _dict(file)
    pixels = known.get("data")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (_BYTES,):
        raise PerisphereError(f"{file}: 'data' is no uint8 array of {_BYTES} columns. Get it again.")
    levels = [known[key] for key in version.keys if key in known]
    if version.keys[0] not in known or not all(_whole(level, len(pixels)) for level in levels):
        raise PerisphereError(
            f"{file}: {version.keys[0]!r} is no list of a class for each of its {len(pixels)} photos."
        )
    return _Batch(pixels, np.array(levels, np.int64).reshape(len(levels), len(pixels)))


def _whole(values: Any, count: int) -> bool:
    values = values.tolist() if isinstance(values, np.ndarray) else values
    limit = 1 << 31
    return (
        isinstance(values, list)
        and len(values) == count
        and all(type(value) is int and -limit < value < limit for value in values)
    )


def _dict(file: Path) -> dict[str, Any]:
    """Return the dict of a pickle; its keys are bytes where Python 3 wrote what Python 2 had."""
    known = read_plain_pickle(file)
    if not isinstance(known, dict):
        raise PerisphereError(f"{file}: holds no dict. Is it another data set's file?")
    return {_text(key) or "": value for key, value in known.items()}
