"""Fifteen small pictures of three colours, and the raw-pixel encoder."""

from pathlib import Path

import numpy as np
import PIL.Image
import polars as pl

from perisphere.encoder import Encoder, Preprocessing
from perisphere.nets import NetSpec, build

COLOURS = {"brick": (190, 70, 50), "grass": (60, 170, 70), "sky": (80, 130, 220)}
EACH = 5


def paint(path: Path, colour: tuple[int, int, int], seed: int) -> Path:
    """Write a noisy picture of one colour."""
    random = np.random.default_rng(seed)
    pixels = (
        np.array(colour)
        + random.normal(scale=25, size=(30, 40, 1))
        + random.normal(scale=8, size=(30, 40, 3))
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return path


def pixels(size: int = 8) -> Encoder:
    """The raw-pixel encoder; ``size`` decides the space."""
    return Encoder(
        build(NetSpec(backbone="pixels", input_size=size)), Preprocessing(size=(size, size)), name="pixels"
    )


def rows(photos: Path) -> pl.DataFrame:
    paths = [f"{label}/{number}.png" for label in COLOURS for number in range(EACH)]
    labels = [label for label in COLOURS for _ in range(EACH)]
    cameras = [str(number % 2) for _ in COLOURS for number in range(EACH)]
    return pl.DataFrame({"path": paths, "label": labels, "camera": cameras})
