"""A small index of two kinds of pictures, made without any other verb."""

from pathlib import Path

import numpy as np
import PIL.Image
import polars as pl

from perisphere.encoder import Encoder, Preprocessing
from perisphere.index import Index
from perisphere.nets import NetSpec, build


def make(root: Path) -> tuple[Path, Encoder]:
    """Write ``root/{dark,light}/0..3.png`` with bars, and index them into ``root/index``."""
    random = np.random.default_rng(0)
    table: dict[str, list[str]] = {"path": [], "label": [], "split": []}
    for label, rows in {"dark": slice(0, 12), "light": slice(12, 24)}.items():
        (root / label).mkdir(parents=True)
        for number in range(4):
            pixels = random.integers(0, 60, (24, 24, 3))
            pixels[rows] += 160
            PIL.Image.fromarray(pixels.astype(np.uint8)).save(root / label / f"{number}.png")
            table["path"].append(f"{label}/{number}.png")
            table["label"].append(label)
            table["split"].append("index" if number else "test")
    encoder = Encoder(
        build(NetSpec(backbone="pixels", input_size=6)), Preprocessing(size=(6, 6)), name="pixels"
    )
    with Index.create(root / "index", encoder=encoder) as index:
        index.add(encoder.encode([root / path for path in table["path"]]), pl.DataFrame(table), root=root)
        index.calibrate()
    return root / "index", encoder
