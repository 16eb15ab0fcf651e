"""What is true of a collection's photos, beside them and the same in every layout.

::

    OUT/truth/captions.csv, keypoints.parquet, points.parquet, parts.json, masks/PATH.png
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
from PIL import Image

from perisphere.catalog.scenes.parts import EXTERIOR, PARTS
from perisphere.catalog.scenes.photo import Photo
from perisphere.catalog.scenes.world import Landmark

_KEYPOINTS = {"path": pl.String, "label": pl.String, "point": pl.Int64, "x": pl.Float32, "y": pl.Float32}


def write_mask(folder: Path, path: Path, photo: Photo) -> dict[str, object]:
    """Write the part mask of a photo, and return what :func:`write_truth` needs to know of the photo.

    Args:
        folder: ``OUT/truth``.
        path: of the photo, relative to the photos' folder.
        photo: as taken.
    """
    mask = folder / "masks" / path.with_suffix(".png")
    mask.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo.parts).save(mask)
    return {
        "path": path.as_posix(),
        "label": photo.landmark.slug,
        "camera": photo.view,
        "light": photo.light,
        "caption": photo.caption,
        "tags": "|".join(photo.tags),
        "keypoints": (photo.keypoints, photo.places),
    }


def write_truth(
    folder: Path,
    landmarks: list[Landmark],
    records: list[dict[str, object]],
    legend: Sequence[str] = EXTERIOR,
) -> None:
    """Write captions, keypoints, surface points and the legend of the masks."""
    columns = ("path", "label", "camera", "light", "caption", "tags")
    pl.DataFrame({name: [r[name] for r in records] for name in columns}).write_csv(folder / "captions.csv")
    _keypoints(records).write_parquet(folder / "keypoints.parquet")
    _points(landmarks).write_parquet(folder / "points.parquet")
    (folder / "parts.json").write_text(json.dumps(dict(enumerate(legend)), indent=1) + "\n", "utf-8")


def _keypoints(records: list[dict[str, object]]) -> pl.DataFrame:
    """Columns path, label, point, x, y: equal label and point is the same place on the building."""
    rows: list[pl.DataFrame] = []
    for record in records:
        points, places = cast(tuple[np.ndarray, np.ndarray], record["keypoints"])
        columns = {
            "path": [record["path"]] * len(points),
            "label": [record["label"]] * len(points),
            "point": points,
            "x": places[:, 0],
            "y": places[:, 1],
        }
        rows.append(pl.DataFrame(columns, schema=_KEYPOINTS))
    return pl.concat(rows)


def _points(landmarks: list[Landmark]) -> pl.DataFrame:
    """Columns label, point, part and the position in metres."""
    tables = []
    for landmark in landmarks:
        points = landmark.keypoints
        x, y, z = points.position.T
        tables.append(
            pl.DataFrame(
                {
                    "label": [landmark.slug] * len(x),
                    "point": np.arange(len(x)),
                    "part": [PARTS[k] for k in points.part],
                    "x": x,
                    "y": y,
                    "z": z,
                }
            )
        )
    return pl.concat(tables)
