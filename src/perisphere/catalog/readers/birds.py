"""NABirds and Caltech-UCSD Birds: photos in ``images/``, and lists of paths, classes and splits.

Sources: Van Horn et al., "Building a bird recognition app and large scale dataset with citizen scientists",
CVPR 2015; Wah et al., "The Caltech-UCSD Birds-200-2011 Dataset", 2011; the parts of CUB: Barz and Denzler,
"Deep Learning on Small Datasets without Pre-Training using Cosine Loss", WACV 2020.
"""

from collections.abc import Mapping
from pathlib import Path

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.readers.listing import Listing
from perisphere.catalog.readers.lists import class_labels, is_inside, read_pairs
from perisphere.errors import PerisphereError, UsageError

_FULL = 30  # training photos of a class in the whole of CUB


def list_nabirds(root: Path) -> Listing:
    """List NABirds: splits ``train`` and ``test``; ``hierarchy.txt`` is its taxonomy, child first.

    Args:
        root: the folder of ``images.txt``.

    Raises:
        PerisphereError: a list is missing or a line of it has another form.
    """
    return _list(root, "train_test_split.txt", 1)


def list_cub(root: Path, *, per_class: int | None = None, repeats: int | None = None) -> Listing:
    """List CUB-200-2011: splits ``train`` and ``test``.

    Args:
        root: the folder of ``images.txt``.
        per_class: training photos of each class, 1 to 30: the split is that of ``train_test_split_N.txt``.
        repeats: rows of each training photo, so that an epoch sees it as often; as published, 30 over
            ``per_class`` where that is given, rounded down, else 1.

    Raises:
        UsageError: an option out of its range.
        PerisphereError: a list is missing or a line of it has another form.
    """
    if per_class is not None and not 1 <= per_class <= _FULL:
        raise UsageError(f"per_class: {per_class} is not from 1 to {_FULL}.")
    if repeats is not None and repeats < 1:
        raise UsageError(f"repeats: {repeats} is less than 1.")
    name = "train_test_split.txt" if per_class is None else f"train_test_split_{per_class}.txt"
    usual = 1 if per_class is None else _FULL // per_class
    return _list(root, name, repeats or usual)


def _list(root: Path, split_file: str, repeats: int) -> Listing:
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder.")
    listing = Listing(root)
    paths = read_pairs(root / "images.txt")
    class_of = _numbers(root / "image_class_labels.txt")
    in_train = _flags(root / split_file)
    listing.classes = _classes(root, class_of)
    for id, path in paths.items():
        if not is_inside(path):
            listing.bad.append(Skipped(path, "leads out of the folder of photos"))
        elif id not in class_of:
            listing.bad.append(Skipped(f"images/{path}", "has no class in image_class_labels.txt"))
        elif id not in in_train:
            listing.ignored.append(Skipped(f"images/{path}", f"not in {split_file}"))
        else:
            split = "train" if in_train[id] else "test"
            row = {"path": f"images/{path}", "split": split, "label": listing.classes[class_of[id]]}
            listing.rows += [dict(row) for _ in range(repeats if in_train[id] else 1)]
    _report_strangers(listing, paths, {"image_class_labels.txt": class_of, split_file: in_train})
    return listing


def _report_strangers(
    listing: Listing, paths: Mapping[str, str], lists: Mapping[str, Mapping[str, object]]
) -> None:
    for name, ids in lists.items():
        reason = f"named by {name}, but not by images.txt"
        listing.bad += [Skipped(id, reason) for id in ids if id not in paths]


def _classes(root: Path, class_of: Mapping[str, str]) -> dict[str, str]:
    """Return label by class number, of the classes that photos have; numbers where no file names them."""
    used = sorted(set(class_of.values()), key=int)
    file = root / "classes.txt"
    names = _plain(read_pairs(file)) if file.is_file() else {}
    lacking = [id for id in used if names and id not in names]
    if lacking:
        raise PerisphereError(f"{file}: has no name for class {lacking[0]}, which photos are of.")
    return class_labels({id: names.get(id, id) for id in used})


def _numbers(file: Path) -> dict[str, str]:
    """Return class number by image id, as text without leading zeros."""
    pairs = read_pairs(file)
    for id, value in pairs.items():
        if not (value.isascii() and value.isdigit()):
            raise PerisphereError(f"{file}: the class of image {id}, {value[:80]!r}, is no number.")
    return {id: _bare(value) for id, value in pairs.items()}


def _flags(file: Path) -> dict[str, bool]:
    pairs = read_pairs(file)
    for id, value in pairs.items():
        if value not in ("0", "1"):
            raise PerisphereError(f"{file}: image {id} has {value[:80]!r} where 1 or 0 belongs.")
    return {id: value == "1" for id, value in pairs.items()}


def _plain(names: Mapping[str, str]) -> dict[str, str]:
    return {_bare(id): name for id, name in names.items()}


def _bare(number: str) -> str:
    return number.lstrip("0") or "0"
