"""ILSVRC 2012: ``ILSVRC2012_img_train/WNID/`` and ``ILSVRC2012_img_val/WNID/``.

Source: Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", IJCV 2015.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.readers.listing import Listing, walk
from perisphere.errors import PerisphereError

_FOLDERS = {"train": "ILSVRC2012_img_train", "val": "ILSVRC2012_img_val"}


def list_images(root: Path) -> Listing:
    """List ILSVRC 2012: splits ``train`` and ``val``; labels are WordNet ids (the folders' names).

    Folder by folder while the photos are checked, so that 1.3 million take no memory.

    Args:
        root: the folder of ``ILSVRC2012_img_train`` and ``ILSVRC2012_img_val``; one of them may be missing.

    Raises:
        PerisphereError: neither is there.
    """
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder.")
    there = {split: root / name for split, name in _FOLDERS.items() if (root / name).is_dir()}
    if not there:
        raise PerisphereError(f"{root}: holds neither {' nor '.join(_FOLDERS.values())}.")
    listing = Listing(root)
    listing.later = (row for split, folder in there.items() for row in _rows(listing, split, folder))
    return listing


def _rows(listing: Listing, split: str, folder: Path) -> Iterator[dict[str, Any]]:
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            reason = "lies in no class folder; move it to the folder of its WordNet id"
            listing.bad.append(Skipped(f"{folder.name}/{entry.name}", reason))
            continue
        found, place = walk(entry), f"{folder.name}/{entry.name}"
        listing.bad += [replace(item, path=f"{place}/{item.path}") for item in found.bad]
        listing.ignored += [replace(item, path=f"{place}/{item.path}") for item in found.ignored]
        for row in found.rows:
            yield {"path": f"{place}/{row['path']}", "split": split, "label": entry.name}
