"""Layout ``fashion``: landmarks as products, photographed by buyers and by the shop; COCO files.

::

    OUT/fashion/train.json, query.json, gallery.json
    OUT/fashion/train/000000_shop_00.jpg, train/000000_user_01.jpg, query/..., gallery/...
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from perisphere.catalog.scenes.box import Box, landmark_box, loosened
from perisphere.catalog.scenes.layouts.layout import OUTSIDE, Layout, Roll
from perisphere.catalog.scenes.layouts.truth import write_mask, write_truth
from perisphere.catalog.scenes.parts import PART_ID, SURROUNDINGS
from perisphere.catalog.scenes.photo import DIFFICULTIES, Difficulty, Photo, take_photo
from perisphere.catalog.scenes.styles import STYLES
from perisphere.catalog.scenes.world import Landmark, box_stream
from perisphere.errors import UsageError

SPLITS = ("train", "query", "gallery")
SHOP_EVERY = 3  # the first photo of three is the shop's
UNSOLD = 0.5
"""Gallery photos of products that no query shows, for each shop photo of one that is asked for."""


class Fashion(Layout):
    """Every second product is for training; of the others, buyers' photos are queries, the shop's gallery."""

    def __init__(self, out: Path, *, truth: bool) -> None:
        self.out, self.truth = out, truth

    @property
    def photos(self) -> Path:
        """The folder for ``perisphere read fashion``."""
        return self.out / "fashion"

    def label(self, landmark: Landmark) -> str:
        """Return its ``pair_id``."""
        return str(landmark.number)

    def rolls(self, landmarks: int, photos: int) -> list[Roll]:
        """All photos of all products, then products that only the shop has, one photo each."""
        if photos < 2:
            raise UsageError(
                f"--photos {photos}: --layout fashion takes at least 2, the shop's and a buyer's."
            )
        if landmarks < 2:
            raise UsageError(f"--landmarks {landmarks}: --layout fashion takes at least 2, one for testing.")
        unsold = round(UNSOLD * (landmarks // 2) * -(-photos // SHOP_EVERY))
        return super().rolls(landmarks, photos) + [Roll(OUTSIDE + k, 0, 1) for k in range(unsold)]

    def take(self, seed: int, of: int, number: int, *, size: int, difficulty: str) -> Photo:
        """Take a photo as a buyer does, or as the shop does: calm light, nobody about, a plain background."""
        if not _shop(number):
            return take_photo(seed, of, number, size=size, difficulty=difficulty)
        photo = take_photo(seed, of, number, size=size, difficulty=_studio(DIFFICULTIES[difficulty]))
        return replace(photo, pixels=_on_white(photo))

    def write(self, photo: Photo) -> dict[str, object]:
        """Write the JPEG and the mask; paths in the record are relative to the photos' folder."""
        of, shop = photo.landmark.number, _shop(photo.number)
        split = "train" if of < OUTSIDE and of % 2 == 0 else "gallery" if shop else "query"
        source = "shop" if shop else "user"
        path = Path(split, f"{of:06d}_{source}_{photo.number:02d}.jpg")
        file = self.photos / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(photo.jpeg())
        record = write_mask(self.out / "truth", path, photo) if self.truth else {}
        image = {"file_name": path.name, "width": photo.parts.shape[1], "height": photo.parts.shape[0]}
        family = (photo.landmark.family, photo.landmark.style)
        box = _drawn(photo)
        return {**record, "split": split, "image": image, "box": box, "kind": family, "pair": (of, source)}

    def finish(self, landmarks: list[Landmark], records: list[dict[str, object]]) -> None:
        """Write the three COCO files, and what is true of the photos."""
        numbered = list(enumerate(records, 1))
        for split in SPLITS:
            chosen = [(number, record) for number, record in numbered if record["split"] == split]
            (self.photos / f"{split}.json").write_text(json.dumps(_coco(chosen), indent=1) + "\n", "utf-8")
        if self.truth:
            write_truth(self.out / "truth", landmarks, records)


def _shop(number: int) -> bool:
    return number % SHOP_EVERY == 0


def _studio(level: Difficulty) -> Difficulty:
    """How a shop photographs what visitors meet at ``level``: products differ as there, photos hardly do."""
    return replace(
        DIFFICULTIES["easy"],
        spread=level.spread,
        views={"front": 0.6, "left": 0.2, "right": 0.2},
        lights={"noon": 0.7, "overcast": 0.3},
        crowd=0,
    )


def _on_white(photo: Photo) -> np.ndarray:
    """Put the product before a white wall: uint8 ``[s, s, 3]``."""
    around = np.isin(photo.parts, [PART_ID[name] for name in SURROUNDINGS]).astype(np.float32)
    wall = cv2.GaussianBlur(around, (0, 0), 0.7)[..., None]
    return (photo.pixels * (1 - wall) + 246 * wall + 0.5).astype(np.uint8)


def _drawn(photo: Photo) -> Box:
    """The box as somebody drew it around the product."""
    height, width = photo.parts.shape
    rng = box_stream(0, photo.landmark.number, photo.number)
    return loosened(landmark_box(photo), rng, 0.06, (width, height))


def _coco(records: list[tuple[int, dict[str, object]]]) -> dict[str, list[dict[str, object]]]:
    """The content of a COCO file with ``pair_id`` and ``source``, from image ids and records."""
    kinds = list(STYLES)
    images, annotations = [], []
    for number, record in records:
        box, kind = cast(Box, record["box"]), cast(tuple[str, str], record["kind"])
        pair, source = cast(tuple[int, str], record["pair"])
        wide, high = box.right - box.left, box.bottom - box.top
        images.append({"id": number, **cast(dict[str, object], record["image"])})
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": kinds.index(kind) + 1,
                "bbox": [box.left, box.top, wide, high],
                "area": wide * high,
                "iscrowd": 0,
                "pair_id": pair,
                "source": source,
            }
        )
    categories: list[dict[str, object]] = [
        {"id": k, "name": style, "supercategory": family} for k, (family, style) in enumerate(kinds, 1)
    ]
    return {"images": images, "annotations": annotations, "categories": categories}
