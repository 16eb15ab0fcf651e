"""A Market-1501 tree of identities that a small net tells apart by their tint."""

from pathlib import Path

import cv2
import numpy as np


def write_market(root: Path, *, train=6, test=6, photos=5, cameras=3, distractors=4, seed=0) -> Path:
    """Noise on a tint for each identity; every camera shifts all colours a little."""
    draw = np.random.default_rng(seed)
    tints, shifts = draw.integers(0, 130, (train + test, 3)), draw.integers(0, 25, (cameras, 3))

    def write(folder: str, name: str, tint: np.ndarray, camera: int) -> None:
        (root / folder).mkdir(parents=True, exist_ok=True)
        image = draw.integers(0, 100, (32, 16, 3)) + tint + shifts[camera]
        cv2.imwrite(str(root / folder / f"{name}.jpg"), image.clip(0, 255).astype(np.uint8))

    for identity in range(train):
        for number in range(photos if identity else 3):  # one has fewer than a batch has places for it
            camera = number % cameras
            name = f"{identity + 1:04d}_c{camera + 1}s1_{number:06d}_00"
            write("bounding_box_train", name, tints[identity], camera)
    for identity in range(train, train + test):
        for camera in range(cameras):
            for number, folder in enumerate(("query", "bounding_box_test", "bounding_box_test")):
                name = f"{identity + 1:04d}_c{camera + 1}s1_{number:06d}_00"
                write(folder, name, tints[identity], camera)
    for number in range(distractors):
        write("bounding_box_test", f"0000_c1s1_{number:06d}_00", draw.integers(0, 130, 3), 0)
    return root
