"""Make ``index-vN``, the index folder that a format version wrote: later versions must open it.

python tests/data/make_index.py tests/data/index-v1
python tests/data/make_index.py tests/data/index-v2 beside
python tests/data/make_index.py tests/data/index-v3 beside codes
python tests/data/make_index.py tests/data/index-v4 beside codes regions
"""

import sys
from pathlib import Path

import numpy as np
import polars as pl

from perisphere.codes import Codebooks
from perisphere.index import Index
from perisphere.index.regions import Region


def vectors() -> np.ndarray:
    """Points on a spiral: the same on every machine."""
    step = np.arange(12, dtype=np.float64)[:, None]
    return np.cos(step * np.arange(1, 5) / 7).astype(np.float32)


def rows() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "path": [f"photo {row}.jpg" for row in range(12)],
            "label": ["dome", "tower", None, "arch, or gate"] * 3,
            "camera": [str(row % 2) for row in range(12)],
            "tags": [["old", "stone"], []] * 6,
            "categories": [["building", "church"]] * 12,
            "concepts": [["sky", "stone"], ["sky"], []] * 4,
            "box": [[0, 0, row, 9] if row % 3 else None for row in range(12)],
            "width": [640] * 12,
        }
    )


def codebooks() -> Codebooks:
    """Two books of the directions along the axes."""
    axes = np.concatenate([np.eye(4), -np.eye(4), np.zeros((1, 4))])
    return Codebooks(np.stack([0.8 * axes, 0.4 * axes]).astype(np.float32), "additive")


def put_regions(index: Index) -> None:
    """A portal in every photo up to the sixth, and a window beside it in every second of these."""
    outline = (((1, 2), (30, 2), (30, 40), (1, 40)),)
    window = Region("window", 0.5, 0.1, (50, 2, 60, 40))
    photos = []
    for id_ in (1, 2, 4, 5, 6):
        found = [Region("portal", id_ / 8, 0.25, (1, 2, 31, 41), outline), *([window] * (id_ % 2 == 0))]
        photos.append((id_, found, index.vectors([id_, id_ + 6])[1][: len(found)]))
    index.regions.put(
        [*photos, (7, [], None)],
        ["window", "portal"],
        {"encoder": "0123456789abcdef", "layer": "decoder", "dim": 4},
        6,
    )


def make(
    folder: Path, centroids: str | None = None, codes: str | None = None, regions: str | None = None
) -> None:
    made = codebooks() if codes else None
    with Index.create(folder, 4, centroids=centroids, codebooks=made) as index:
        index.add(vectors()[:8], rows()[:8], root="/photos", encoder_identity="0123456789abcdef")
        index.add(vectors()[8:], rows()[8:], root="/more photos")
        index.remove([3])
        if regions:
            put_regions(index)
    (folder / "writer.lock").unlink()


if __name__ == "__main__":
    make(Path(sys.argv[1]), *sys.argv[2:])
