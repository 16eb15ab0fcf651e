"""Layout ``cifar``: photos of 32 x 32 pixels in Python pickles, as CIFAR-100 has them.

::

    OUT/cifar/train, test, meta
"""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from perisphere.catalog.scenes.layouts.layout import Layout
from perisphere.catalog.scenes.layouts.truth import write_mask, write_truth
from perisphere.catalog.scenes.photo import Photo
from perisphere.catalog.scenes.world import Landmark

SIDE = 32
TEST_EVERY = 6  # one photo of six, as in CIFAR


class Cifar(Layout):
    """Landmarks are the fine classes, families the coarse ones; every sixth photo is for testing."""

    def __init__(self, out: Path, *, truth: bool) -> None:
        self.out, self.truth = out, truth

    @property
    def photos(self) -> Path:
        """The folder for ``perisphere read cifar100``."""
        return self.out / "cifar"

    def label(self, landmark: Landmark) -> str:
        """Return the name of its fine class."""
        return landmark.slug

    def write(self, photo: Photo) -> dict[str, object]:
        """Write the mask; the photo itself goes into the record, uint8 ``[3072]``, plane by plane."""
        small = _shrunk(photo)
        name = f"{small.landmark.slug}_s_{small.number:06d}.png"
        record = write_mask(self.out / "truth", Path(name), small) if self.truth else {}
        return {
            **record,
            "filename": name,
            "part": "test" if small.number % TEST_EVERY == 0 else "train",
            "landmark": small.landmark.number,
            "pixels": small.pixels.transpose(2, 0, 1).ravel(),
        }

    def finish(self, landmarks: list[Landmark], records: list[dict[str, object]]) -> None:
        """Write the pickles, and what is true of the photos."""
        families = sorted({landmark.family for landmark in landmarks})
        coarse = {landmark.number: families.index(landmark.family) for landmark in landmarks}
        self.photos.mkdir()
        for part in ("train", "test"):
            chosen = [record for record in records if record["part"] == part]
            fine = [cast(int, record["landmark"]) for record in chosen]
            pixels = [cast(np.ndarray, record["pixels"]) for record in chosen]
            content = {
                "data": np.array(pixels, np.uint8).reshape(len(chosen), 3 * SIDE * SIDE),
                "fine_labels": fine,
                "coarse_labels": [coarse[number] for number in fine],
                "filenames": [record["filename"] for record in chosen],
                "batch_label": f"{part}ing batch 1 of 1",
            }
            _dump(self.photos / part, content)
        names = [self.label(landmark) for landmark in landmarks]
        _dump(self.photos / "meta", {"fine_label_names": names, "coarse_label_names": families})
        if self.truth:
            write_truth(self.out / "truth", landmarks, records)


def _shrunk(photo: Photo) -> Photo:
    """Return the photo at 32 x 32 pixels, with its mask and keypoints there."""
    size = len(photo.pixels)
    return replace(
        photo,
        pixels=cv2.resize(photo.pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA),
        parts=cv2.resize(photo.parts, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST),
        places=photo.places * np.float32(SIDE / size),
    )


def _dump(file: Path, content: dict[str, object]) -> None:
    file.write_bytes(pickle.dumps(content, protocol=2))
