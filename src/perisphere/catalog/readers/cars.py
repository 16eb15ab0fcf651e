"""Stanford Cars: ``cars_annos.mat`` and the photos that it names.

Source: Krause et al., "3D Object Representations for Fine-Grained Categorization", 3dRR 2013.
"""

from pathlib import Path
from typing import Any

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.readers.listing import Listing
from perisphere.catalog.readers.lists import class_labels, is_inside
from perisphere.errors import PerisphereError
from perisphere.foreign.matlab import read_mat

_FIELDS = ("relative_im_path", "class", "test")


def list_images(root: Path, *, annotations: Path | None = None) -> Listing:
    """List Stanford Cars: splits ``train`` and ``test``; labels are the class names.

    Args:
        root: the folder that the paths start from, usually of ``car_ims/``.
        annotations: the MATLAB file; ``cars_annos.mat`` in ``root`` where it is not given.

    Raises:
        PerisphereError: the file is missing or damaged, or has no such list of photos.
    """
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder.")
    file = Path(annotations) if annotations is not None else root / "cars_annos.mat"
    found = read_mat(file, ["annotations", "class_names"])
    table = found["annotations"]
    if not isinstance(table, list) or not all(isinstance(record, dict) for record in table):
        raise PerisphereError(f"{file}: its annotations are no structures. Is it cars_annos.mat?")
    missing = [name for name in _FIELDS if table and name not in table[0]]
    if missing:
        raise PerisphereError(f"{file}: its annotations have no field {missing[0]!r}. Is it cars_annos.mat?")
    names = found["class_names"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise PerisphereError(f"{file}: its class names are no texts. Is it cars_annos.mat?")
    listing = Listing(root, classes=class_labels({str(k): name for k, name in enumerate(names, 1)}))
    for number, record in enumerate(table, 1):
        _add(listing, file, number, [record[name] for name in _FIELDS])
    return listing


def _add(listing: Listing, file: Path, number: int, record: list[Any]) -> None:
    path, label, test = record[0], *(_whole(value) for value in record[1:])
    if not isinstance(path, str) or label is None or test not in (0, 1):
        raise PerisphereError(f"{file}: annotation {number} is no path with a class and a test flag.")
    if str(label) not in listing.classes:
        count = len(listing.classes)
        raise PerisphereError(f"{file}: annotation {number} is of class {label}; there are {count} names.")
    if is_inside(path):
        split = "test" if test else "train"
        listing.rows.append({"path": path, "split": split, "label": listing.classes[str(label)]})
    else:
        listing.bad.append(Skipped(path, "leads out of the folder of photos"))


def _whole(value: Any) -> int | None:
    """Return a number of any class of MATLAB's as the whole number that it is."""
    return int(value) if isinstance(value, int | float) and value == value // 1 else None
