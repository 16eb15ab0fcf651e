"""Market-1501 and the data sets in its layout: identity and camera stand in the file name.

Sources: Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015; Ristani et al.,
"Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking", ECCVW 2016 (DukeMTMC-reID);
Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017 (CUHK03-NP).
"""

import re
from pathlib import Path
from typing import Any

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.readers.listing import Listing, walk
from perisphere.errors import PerisphereError

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
_NAME = re.compile(r"(-1|\d+)_c(\d+)(?!\d)")
_JUNK, _DISTRACTOR = -1, 0


def list_images(root: Path) -> Listing:
    """List Market-1501 or DukeMTMC-reID: splits ``train``, ``query`` and ``gallery``.

    ``0002_c1s1_000451_03.jpg`` is identity ``0002`` seen by camera ``0``: cameras are counted from 0.
    Identity -1 is junk and left out; identity 0 is a distractor, label ``0000``, which only the gallery may
    hold.

    Args:
        root: the folder of ``bounding_box_train``, ``query`` and ``bounding_box_test``.

    Raises:
        PerisphereError: one of the folders is missing or cannot be listed.
    """
    _check(root)
    listing = Listing(root)
    for split, folder in FOLDERS.items():
        found = walk(root / folder)
        listing.bad += [_below(folder, item) for item in found.bad]
        listing.ignored += [_below(folder, item) for item in found.ignored]
        for row in found.rows:
            _add(listing, f"{folder}/{row['path']}", split)
    return listing


def _check(root: Path) -> None:
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder.")
    lacking = [folder for folder in FOLDERS.values() if not (root / folder).is_dir()]
    if lacking:
        raise PerisphereError(
            f"{root}: holds no folder {lacking[0]}. Name the folder of {', '.join(FOLDERS.values())}."
        )


def _below(folder: str, item: Skipped) -> Skipped:
    return Skipped(f"{folder}/{item.path}", item.reason, item.group)


def _add(listing: Listing, path: str, split: str) -> None:
    parsed = _NAME.match(path.rpartition("/")[2])
    identity, camera = map(int, parsed.groups()) if parsed else (_JUNK, 0)
    if parsed is None:
        listing.bad.append(Skipped(path, "file name is not IDENTITY_cCAMERA..."))
    elif identity == _JUNK:
        listing.ignored.append(Skipped(path, "junk (identity -1)"))
    elif camera == 0:
        listing.bad.append(Skipped(path, "camera 0, where they count from 1"))
    elif identity == _DISTRACTOR and split != "gallery":
        listing.bad.append(Skipped(path, "distractor (identity 0) outside the gallery"))
    else:
        listing.rows.append(_row(path, split, identity, camera))


def _row(path: str, split: str, identity: int, camera: int) -> dict[str, Any]:
    return {"path": path, "split": split, "label": f"{identity:04d}", "camera": str(camera - 1)}
