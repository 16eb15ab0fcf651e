"""MSMT17: lists of photos with their identities; the camera stands in the file name.

Source: Wei et al., "Person Transfer GAN to Bridge Domain Gap for Person Re-Identification", CVPR 2018.
"""

import re
from pathlib import Path
from typing import Any

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.readers.listing import Listing
from perisphere.catalog.readers.lists import is_inside, read_lines
from perisphere.errors import PerisphereError

_PARTS = {"train": "train", "val": "train", "query": "test", "gallery": "test"}
_FOLDERS = ("{}", "mask_{}_v2")  # of version 1, and of version 2, whose faces are masked
_LINE = re.compile(r"(\S.*?)\s+(\d+)")
_NAME = re.compile(r"(\d+)_\d+_(\d+)_")


def list_images(root: Path) -> Listing:
    """List MSMT17: splits ``train``, ``val`` (of the same identities), ``query`` and ``gallery``.

    ``0000_000_01_0303morning_0015_0.jpg`` is identity 0 seen by camera ``0``: cameras are counted from 0. The
    identities of the test part begin at 0 again, so labels say which part they belong to: ``train-0000``,
    ``test-0000``.

    Args:
        root: the folder of ``list_train.txt``, ``list_query.txt``, ``list_gallery.txt`` and, where there is
            one, ``list_val.txt``.

    Raises:
        PerisphereError: a list or a folder is missing.
    """
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder.")
    listing = Listing(root)
    for split, part in _PARTS.items():
        file, folder = root / f"list_{split}.txt", _folder(root, part)
        if split == "val" and not file.is_file():
            continue
        for number, line in read_lines(file):
            row = _row(line, split, part, folder)
            if isinstance(row, str):
                listing.bad.append(Skipped(f"{file.name}: line {number}: {line[:200]}", row))
            else:
                listing.rows.append(row)
    return listing


def _folder(root: Path, part: str) -> str:
    names = [name.format(part) for name in _FOLDERS]
    found = [name for name in names if (root / name).is_dir()]
    if not found:
        raise PerisphereError(f"{root}: holds neither {names[0]} nor {names[1]}. Is the data set complete?")
    return found[0]


def _row(line: str, split: str, part: str, folder: str) -> dict[str, Any] | str:
    """Return the row of a line, or why there is none."""
    parsed = _LINE.fullmatch(line)
    if parsed is None:
        return "line is not PATH IDENTITY"
    path, identity = parsed[1], int(parsed[2])
    if not is_inside(path):
        return "leads out of the folder of photos"
    name = _NAME.match(path.rpartition("/")[2])
    if name is None:
        return "file name is not IDENTITY_NUMBER_CAMERA_..."
    if int(name[1]) != identity:
        return "the list and the file name tell of two identities"
    if int(name[2]) == 0:
        return "camera 0, where they count from 1"
    label, camera = f"{part}-{identity:04d}", str(int(name[2]) - 1)
    return {"path": f"{folder}/{path}", "split": split, "label": label, "camera": camera}
