"""Photos for the catalog's tests: smooth coloured noise, small and quick to write."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

ORIENTATION = 0x0112


def pixels(seed: int = 0, width: int = 48, height: int = 32) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def write_photo(path: Path, seed: int = 0, width: int = 48, height: int = 32) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed, width, height)).save(path, quality=92)
    return path


def write_classes(root: Path, counts: dict[str, int]) -> Path:
    seed = 0
    for label, count in counts.items():
        for number in range(count):
            write_photo(root / label / f"{number:03}.jpg", seed, 8, 8)
            seed += 1
    return root
