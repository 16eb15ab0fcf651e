"""Photos of painted walls: each landmark a wall with shapes on it, seen in windows that share its points."""

from pathlib import Path

import cv2
import numpy as np
import polars as pl

from perisphere.catalog import Catalog

TINTS = {"facade": (200, 60, 60), "window": (60, 200, 60), "tower": (60, 60, 220)}


def write_concept_photos(
    root: Path, *, landmarks=4, photos=6, side=48, seed=0, unlabelled=0, splits=("train", "val")
) -> Path:
    """Write photos and a catalog with concepts and keypoints; return the catalog's folder.

    The first landmarks are split ``train``, the last one ``val``. The first ``unlabelled`` photos have no
    concept.
    """
    draw = np.random.default_rng(seed)
    (root / "photos").mkdir(parents=True)
    rows, points = [], []
    names = list(TINTS)
    for landmark in range(landmarks):
        for place, name in enumerate(names):
            wall = _wall(draw, TINTS[name], side)
            for photo in range(photos):
                number = len(rows)
                path = f"photos/{landmark}-{name}-{photo}.png"
                top, left = draw.integers(0, side // 3, 2)
                size = side - side // 3
                cv2.imwrite(str(root / path), wall[top : top + size, left : left + size, ::-1])
                last = landmark == landmarks - 1
                rows.append(
                    {
                        "id": 100 + number,
                        "path": path,
                        "split": splits[1] if last else splits[0],
                        "label": f"wall{landmark}",
                        "concepts": [] if number < unlabelled else [name],
                        "width": size,
                        "height": size,
                    }
                )
                points += _points(100 + number, (landmark * 3 + place) * 1000, top, left, size, side)
    table = pl.DataFrame(rows, schema_overrides={"concepts": pl.List(pl.String)})
    keypoints = pl.DataFrame(points, schema=["image", "point", "x", "y"], orient="row")
    Catalog(table, root, {"format": "walls"}, keypoints=keypoints).save(root / "catalog")
    return root / "catalog"


def _wall(draw: np.random.Generator, tint: tuple[int, int, int], side: int) -> np.ndarray:
    wall = cv2.resize(draw.integers(60, 140, (side // 4, side // 4, 3), dtype=np.uint8), (side, side))
    middle = [int(value) for value in draw.integers(side // 3, 2 * side // 3, 2)]
    cv2.circle(wall, middle, side // 4, tint, -1)
    return wall


def _points(image: int, first: int, top: int, left: int, size: int, side: int) -> list[tuple]:
    """Every fourth pixel of the wall is a point of it."""
    found = []
    for number, (row, column) in enumerate((r, c) for r in range(2, side, 4) for c in range(2, side, 4)):
        y, x = row - top + 0.5, column - left + 0.5
        if 0 <= y <= size and 0 <= x <= size:
            found.append((image, first + number, float(x), float(y)))
    return found
