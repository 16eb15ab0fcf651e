"""Six small painted photos with portals, statues and windows, their masks, and an index that segments."""

from pathlib import Path

import numpy as np
import PIL.Image
import polars as pl

from perisphere.catalog import Catalog
from perisphere.catalog.catalog import MASKS, REGIONS
from perisphere.catalog.label_images import write_labels
from perisphere.encoder import Encoder, Preprocessing
from perisphere.index import Index
from perisphere.nets.segmentation import SegmentationSpec, build_segmentation

CLASSES = ("window", "portal", "statue")
COLOURS = {"window": (30, 160, 60), "portal": (190, 60, 40), "statue": (40, 70, 210)}
HEIGHT, WIDTH = 64, 96
Box = tuple[int, int, int, int]

SHOWN: list[dict[str, tuple[Box, float]]] = [
    {"portal": ((8, 16, 40, 64), 0.9), "statue": ((56, 8, 80, 60), 0.8)},
    {"portal": ((40, 8, 80, 64), 0.7)},
    {"statue": ((16, 0, 48, 64), 0.6)},
    {"window": ((0, 0, 48, 48), 0.95)},
    {},
    {"portal": ((32, 24, 72, 64), 0.5)},
]
CAPTIONS = ["West portal with statues", "Das Westportal", "", "Fenêtre de la nef", "A town in the fog", None]
CATEGORIES = [["Dom", "Portals"], ["Dom"], ["Dom", "Inside"], ["Kirche", "Vitraux"], ["Kirche"], []]


def encoder_of(seed: int = 1) -> Encoder:
    spec = SegmentationSpec(backbone="squeezenet1_0", classes=CLASSES, width=16, dilations=(1, 2))
    preprocessing = Preprocessing(size=(96, 96), resize="pad")
    return Encoder(build_segmentation(spec, seed=seed).eval(), preprocessing, name=f"drawn {seed}")


def paint(number: int) -> np.ndarray:
    """The photo, uint8 ``[h, w, 3]``: a grey wall and what it shows in one colour each."""
    random = np.random.default_rng(number)
    picture = np.full((HEIGHT, WIDTH, 3), 128.0)
    for concept, ((x0, y0, x1, y1), _) in SHOWN[number].items():
        picture[y0:y1, x0:x1] = COLOURS[concept]
    return np.clip(picture + random.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)


def labels_of(number: int) -> np.ndarray:
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for concept, ((x0, y0, x1, y1), _) in SHOWN[number].items():
        labels[y0:y1, x0:x1] = 1 + CLASSES.index(concept)
    return labels


def photos_at(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for number in range(len(SHOWN)):
        PIL.Image.fromarray(paint(number)).save(root / f"{number}.png")
    return root


def table() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": range(10, 10 + len(SHOWN)),
            "path": [f"{number}.png" for number in range(len(SHOWN))],
            "label": ["Dom", "Dom", "Dom", "Kirche", "Kirche", "Dom"],
            "caption": CAPTIONS,
            "categories": CATEGORIES,
        }
    )


def segmented(photos: Path, folder: Path, *, numbers: range | None = None) -> Catalog:
    """A catalog as ``segment predict`` writes it: masks and regions of the photos with these numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    masks, regions = [], []
    for number in numbers if numbers is not None else range(len(SHOWN)):
        labels, file = labels_of(number), folder / f"{number}.png"
        write_labels(file, labels, len(CLASSES))
        masks.append((10 + number, "concepts", str(file)))
        for concept, (box, score) in SHOWN[number].items():
            share = float((labels == 1 + CLASSES.index(concept)).mean())
            regions.append((10 + number, concept, score, share, *box))
    return Catalog(
        table(),
        photos,
        {"concepts": list(CLASSES)},
        masks=pl.DataFrame(masks, schema=MASKS, orient="row"),
        regions=pl.DataFrame(regions, schema=REGIONS, orient="row"),
    )


def indexed(folder: Path, photos: Path, encoder: Encoder) -> Index:
    rows = table()
    vectors = encoder.encode([photos / path for path in rows["path"]], precision="float32")
    with Index.create(folder, encoder=encoder) as index:
        index.add(vectors, rows, root=photos, encoder_identity=encoder.identity)
    return Index.open(folder)
