"""Layout ``wikiscenes``: cathedrals, outside and inside, as WikiScenes is published.

::

    OUT/wikiscenes/WikiScenes/cathedrals/category.json
    OUT/wikiscenes/WikiScenes/cathedrals/3/0/1/category.json, pictures/Dom_zu_Belmere_-_Turm_0012.jpg
    OUT/wikiscenes/correspondence.json              image -> point -> x and y as shares of width and height
    OUT/wikiscenes/data/train_*.txt, val_easy_*.txt, val_*.txt, wikiscenes_val.txt
    OUT/wikiscenes/val_seg/images/0.jpg, masks/0.png    the landmarks that are in no other list
    OUT/truth/concepts/PATH.png                     the concept of every pixel of every photo
    OUT/truth/subjects.csv                          subject, concepts that are seen, split
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
from PIL import Image

from perisphere.catalog.scenes.cathedrals.cathedral import Church, cathedral
from perisphere.catalog.scenes.cathedrals.photo import CathedralPhoto, take_cathedral_photo
from perisphere.catalog.scenes.cathedrals.wording import Entry
from perisphere.catalog.scenes.layouts.layout import Layout, Roll
from perisphere.catalog.scenes.layouts.truth import write_mask, write_truth
from perisphere.catalog.scenes.parts import PARTS
from perisphere.catalog.scenes.photo import Photo
from perisphere.catalog.scenes.world import Landmark, cathedral_stream
from perisphere.errors import UsageError

UNSEEN = 0.25
"""Share of the landmarks that are kept for ``val``."""
EASY = 0.1
"""Share of the photos of the other landmarks that are kept for ``val_easy``."""
CAPTION = 100
"""Characters of a caption that the lists keep."""
_POINTS = 1_000_000  # points of landmark n are numbered from n times this


@dataclass(frozen=True, kw_only=True)
class UploadedPhoto(CathedralPhoto):
    """A photo with its place in the collection.

    Attributes:
        entry: category, labels, caption, file.
        easy: whether it is kept for ``val_easy``, where its landmark is one to train on.
    """

    entry: Entry
    easy: bool


class WikiScenes(Layout):
    """The last ``unseen`` of the landmarks are for ``val``; most photos of the others are for training.

    Args:
        out: the collection's folder.
        truth: also write ``OUT/truth``.
        unseen: share of the landmarks, 0 to 1.
    """

    def __init__(self, out: Path, *, truth: bool, unseen: float = UNSEEN) -> None:
        if not 0 <= unseen <= 1:
            raise UsageError(f"--unseen {unseen}: must be from 0 to 1.")
        self.out, self.truth, self.unseen = out, truth, unseen
        self._known, self._photos = 0, 0

    @property
    def photos(self) -> Path:
        """The folder for ``perisphere read wikiscenes``."""
        return self.out / "wikiscenes"

    @property
    def tree(self) -> Path:
        """The root of the categories."""
        return self.photos / "WikiScenes" / "cathedrals"

    def label(self, landmark: Landmark) -> str:
        """Return the name of its category."""
        return cast(Church, landmark).guide.long_name

    def rolls(self, landmarks: int, photos: int) -> list[Roll]:
        """All photos of all landmarks, of which the last are unseen: one at least, where there are two."""
        kept = round(self.unseen * landmarks)
        if self.unseen and landmarks > 1:
            kept = max(kept, 1)
        self._known, self._photos = landmarks - kept, photos
        return super().rolls(landmarks, photos)

    def build(self, seed: int, number: int, spread: float) -> Landmark:
        """Build a cathedral."""
        return cathedral(seed, number, spread).landmark

    def take(self, seed: int, of: int, number: int, *, size: int, difficulty: str) -> Photo:
        """Take a photo of a subject, and let somebody upload it."""
        photo = take_cathedral_photo(seed, of, number, size=size, difficulty=difficulty)
        rng = cathedral_stream(seed, of, number, 1)
        also = [name for name in photo.concepts(0.04) if name != photo.spot.concept]
        guide = cast(Church, photo.landmark).guide
        entry, easy = guide.entry(photo.spot, also, number, rng), bool(rng.random() < EASY)
        known = {field.name: getattr(photo, field.name) for field in fields(CathedralPhoto)}
        return UploadedPhoto(**{**known, "caption": entry.caption}, entry=entry, easy=easy)

    def write(self, photo: Photo) -> dict[str, object]:
        """Write the JPEG and the masks; paths in the record are relative to the root of the categories."""
        assert isinstance(photo, UploadedPhoto)
        of, entry = photo.landmark.number, photo.entry
        folder = cast(Church, photo.landmark).folders[entry.categories]
        path = Path(str(of), *folder, "pictures", entry.file)
        file = self.tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        jpeg = photo.jpeg()
        file.write_bytes(jpeg)
        split = ("val_easy" if photo.easy else "train") if of < self._known else "val"
        if split == "val":
            self._write_mask(photo, jpeg, (of - self._known) * self._photos + photo.number)
        record: dict[str, object] = {}
        if self.truth:
            record = write_mask(self.out / "truth", path, photo)
            _write(self.out / "truth" / "concepts" / path.with_suffix(".png"), photo.mask)
        return record | {
            "path": path.as_posix(),
            "landmark": of,
            "entry": entry,
            "split": split if entry.labels else "",
            "number": (of - self._known) * self._photos + photo.number if split == "val" else None,
            "points": (photo.keypoints, photo.places / len(photo.pixels)),
            "subject": photo.spot.concept,
            "spot": photo.spot.name,
            "shares": photo.concepts(),
        }

    def _write_mask(self, photo: UploadedPhoto, jpeg: bytes, number: int) -> None:
        folder = self.photos / "val_seg"
        (folder / "images").mkdir(parents=True, exist_ok=True)
        (folder / "images" / f"{number}.jpg").write_bytes(jpeg)
        _write(folder / "masks" / f"{number}.png", photo.mask)

    def finish(self, landmarks: list[Landmark], records: list[dict[str, object]]) -> None:
        """Write the categories, the correspondences, the lists, and what is true of the photos."""
        churches = cast(list[Church], landmarks)
        self._categories(churches, records)
        self._correspondences(records)
        (self.photos / "data").mkdir()
        for split in ("train", "val_easy", "val"):
            self._list(split, [record for record in records if record["split"] == split])
        numbers = [record["number"] for record in records if record["number"] is not None]
        lines = "".join(f"./val_seg/images/{number}.jpg ./val_seg/masks/{number}.png\n" for number in numbers)
        (self.photos / "data" / "wikiscenes_val.txt").write_text(lines, "utf-8")
        if self.truth:
            write_truth(self.out / "truth", landmarks, records, PARTS)
            _subjects(records).write_csv(self.out / "truth" / "subjects.csv")

    def _categories(self, churches: list[Church], records: list[dict[str, object]]) -> None:
        """Write ``category.json`` in every folder of the tree."""
        pictures: dict[str, dict[str, object]] = {}
        for record in records:
            entry, path = cast(Entry, record["entry"]), Path(cast(str, record["path"]))
            about = {"caption": entry.caption, "url": f"https://example.org/wiki/File:{entry.file}"}
            pictures.setdefault(path.parent.parent.as_posix(), {})[path.name] = about | {
                "properties": [entry.language]
            }
        _category(self.tree, {church.guide.long_name: str(church.number) for church in churches}, {})
        for church in churches:
            for names, folder in church.folders.items():
                inner = {
                    below[-1].name: number[-1]
                    for below, number in church.folders.items()
                    if below and below[:-1] == names
                }
                place = Path(str(church.number), *folder)
                _category(self.tree / place, inner, pictures.get(place.as_posix(), {}))

    def _correspondences(self, records: list[dict[str, object]]) -> None:
        """Write image -> point -> x and y, as shares of the picture's width and height, image by image."""
        with (self.photos / "correspondence.json").open("w", encoding="utf-8") as file:
            for k, record in enumerate(records):
                numbers, places = cast(tuple[np.ndarray, np.ndarray], record["points"])
                first = cast(int, record["landmark"]) * _POINTS
                points = {
                    str(first + int(number)): [round(float(x), 6), round(float(y), 6)]
                    for number, (x, y) in zip(numbers, places, strict=True)
                }
                text = f"{json.dumps(record['path'], ensure_ascii=False)}: {json.dumps(points)}"
                file.write(("{" if k == 0 else ", ") + text)
            file.write("}\n")

    def _list(self, split: str, records: list[dict[str, object]]) -> None:
        """Write path, labels, caption and categories of the photos of a split."""
        of = len({record["landmark"] for record in records})
        lines = []
        for record in records:
            entry = cast(Entry, record["entry"])
            labels = "[" + ", ".join(f"'{label}'" for label in entry.labels) + "]"
            names = ", ".join(one.name for one in entry.categories).replace(":", "")
            caption = entry.caption.replace(":", "")[:CAPTION]
            lines.append(f"WikiScenes/cathedrals/{record['path']}:{labels}:{caption}:{names}\n")
        name = f"{split}_10classes_{len(records)}_{of}landmark.txt"
        (self.photos / "data" / name).write_text("".join(lines), "utf-8")


def _category(folder: Path, pairs: dict[str, str], pictures: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    about = {"max_index": len(pairs), "pairs": pairs, "pictures": pictures}
    (folder / "category.json").write_text(json.dumps(about, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _write(file: Path, mask: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(file)


def _subjects(records: list[dict[str, object]]) -> pl.DataFrame:
    """Columns path, split, subject, spot, and the share of the picture of each concept that is seen."""
    rows = [
        (
            *(cast(str, record[name]) for name in ("path", "split", "subject", "spot")),
            " ".join(
                f"{name}={share:.3f}" for name, share in cast(dict[str, float], record["shares"]).items()
            ),
        )
        for record in records
    ]
    columns = ("path", "split", "subject", "spot", "concepts")
    return pl.DataFrame(rows, dict.fromkeys(columns, pl.String), orient="row")
