"""Flowers-102: ``jpg/image_00001.jpg``, with classes and splits in MATLAB files.

Source: Nilsback and Zisserman, "Automated Flower Classification over a Large Number of Classes", ICVGIP 2008.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from perisphere.catalog.readers.listing import Listing
from perisphere.errors import PerisphereError
from perisphere.foreign.matlab import read_mat

# Training and validation photos are learned from together, as published.
_SPLITS = {"trnid": "train", "valid": "train", "tstid": "test"}


def list_images(root: Path) -> Listing:
    """List Flowers-102: splits ``train`` (``trnid`` and ``valid``) and ``test``; labels are class numbers.

    Args:
        root: the folder of ``imagelabels.mat``, ``setid.mat`` and ``jpg/``.

    Raises:
        PerisphereError: a file is missing or damaged, or the two disagree.
    """
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder.")
    file = root / "setid.mat"
    labels = _numbers(root / "imagelabels.mat", ["labels"])["labels"]
    sets = _numbers(file, list(_SPLITS))
    seen: set[int] = set()
    listing = Listing(root, classes={str(k): str(k) for k in sorted(set(labels))})
    for name, split in _SPLITS.items():
        for number in sets[name]:
            if not 1 <= number <= len(labels):
                raise PerisphereError(
                    f"{file}: {name} names photo {number}, but imagelabels.mat has {len(labels)} labels."
                )
            if number in seen:
                raise PerisphereError(f"{file}: photo {number} is in two sets, or twice in one.")
            seen.add(number)
            row = {"path": f"jpg/image_{number:05d}.jpg", "split": split, "label": str(labels[number - 1])}
            listing.rows.append(row)
    return listing


def _numbers(file: Path, names: Sequence[str]) -> dict[str, list[int]]:
    found = {name: np.atleast_1d(values) for name, values in read_mat(file, names).items()}
    for name, values in found.items():
        numeric = values.size == 0 or (values.ndim == 1 and values.dtype.kind in "iuf")
        if not numeric or not np.array_equal(values, values.astype(np.int64)):
            raise PerisphereError(f"{file}: {name!r} is no list of whole numbers.")
    return {name: values.astype(np.int64).ravel().tolist() for name, values in found.items()}
