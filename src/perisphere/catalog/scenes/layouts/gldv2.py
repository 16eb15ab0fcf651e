"""Layout ``gldv2``: Google Landmarks v2, photos in folders by the first letters of their id.

::

    OUT/gldv2/train.csv, index.csv, retrieval_solution_v2.1.csv
    OUT/gldv2/train/a/b/c/abc0123456789def.jpg, index/..., test/...
"""

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from perisphere.catalog.scenes.layouts.layout import Layout
from perisphere.catalog.scenes.layouts.relevance import ENOUGH, Shot, no_query
from perisphere.catalog.scenes.layouts.truth import write_mask, write_truth
from perisphere.catalog.scenes.photo import Photo
from perisphere.catalog.scenes.world import Landmark


class Gldv2(Layout):
    """Every second photo is for training, every tenth a query, the rest the index."""

    def __init__(self, out: Path, *, truth: bool) -> None:
        self.out, self.truth = out, truth

    @property
    def photos(self) -> Path:
        """The folder for ``perisphere read gldv2``."""
        return self.out / "gldv2"

    def label(self, landmark: Landmark) -> str:
        """Return its number, as ``landmark_id``."""
        return str(landmark.number)

    def write(self, photo: Photo) -> dict[str, object]:
        """Write the JPEG and the mask; paths in the record are relative to the photos' folder."""
        part = "train" if photo.number % 2 == 0 else "test" if photo.number % 10 == 1 else "index"
        id = hashlib.sha256(f"{photo.landmark.slug} {photo.number}".encode()).hexdigest()[:16]
        path = Path(part, *id[:3], f"{id}.jpg")
        file = self.photos / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(photo.jpeg())
        record = write_mask(self.out / "truth", path, photo) if self.truth else {}
        return {**record, "part": part, "landmark": photo.landmark.number, "shot": Shot.of(photo, id)}

    def finish(self, landmarks: list[Landmark], records: list[dict[str, object]]) -> None:
        """Write the three tables, and what is true of the photos."""
        shots = {
            part: [(cast(Shot, r["shot"]), cast(int, r["landmark"])) for r in records if r["part"] == part]
            for part in ("train", "index", "test")
        }
        train = [(shot.name, "", str(landmark)) for shot, landmark in shots["train"]]
        _table(self.photos / "train.csv", ("id", "url", "landmark_id"), train)
        _table(self.photos / "index.csv", ("id",), [(shot.name,) for shot, _ in shots["index"]])
        solution = [_answer(query, shots["index"], number) for number, (query, _) in enumerate(shots["test"])]
        if not any(row[1] != "None" for row in solution):
            raise no_query()
        _table(self.photos / "retrieval_solution_v2.1.csv", ("id", "images", "Usage"), solution)
        if self.truth:
            write_truth(self.out / "truth", landmarks, records)


def _answer(query: Shot, index: list[tuple[Shot, int]], number: int) -> tuple[str, str, str]:
    """Return id, images and usage; a query that shows next to nothing of its landmark is ignored."""
    right = [shot.name for shot, _ in index if shot.label == query.label]
    if not right or len(query.points) < ENOUGH:
        return query.name, "None", "Ignored"
    return query.name, " ".join(right), "Public" if number % 3 == 0 else "Private"


def _table(file: Path, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows([header, *rows])
