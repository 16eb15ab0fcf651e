"""A small index of coloured photos, and clients of its service."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import polars as pl
from fastapi.testclient import TestClient

from perisphere.encoder import Encoder, Preprocessing
from perisphere.index import Index
from perisphere.index.regions import Region
from perisphere.nets import NetSpec, build
from perisphere.serve.app import create_app
from perisphere.serve.settings import Settings

COLOURS = {"brick": (190, 70, 50), "grass": (60, 170, 70), "sky": (80, 130, 220)}
EACH = 4
SIZE = (40, 30)
TOKEN = "a-token-that-nobody-guesses"


def painted(colour: str, seed: int) -> np.ndarray:
    """A noisy picture of one colour, uint8 RGB ``[30, 40, 3]``."""
    random = np.random.default_rng(seed)
    noise = random.normal(scale=25, size=(*SIZE[::-1], 1)) + random.normal(scale=8, size=(*SIZE[::-1], 3))
    return (np.array(COLOURS[colour]) + noise).clip(0, 255).astype(np.uint8)


def encoded(picture: np.ndarray, format: str = "PNG") -> bytes:
    """The file of a picture."""
    file = io.BytesIO()
    PIL.Image.fromarray(picture).save(file, format)
    return file.getvalue()


def pixels(**known: Any) -> Encoder:
    """The raw-pixel encoder, with what it knows besides."""
    return Encoder(
        build(NetSpec(backbone="pixels", input_size=8)), Preprocessing(size=(8, 8)), name="pixels", **known
    )


def make_index(folder: Path, encoder: Encoder | None = None) -> Path:
    """Make photos and an index of them in ``folder``; ids 1 to 12, three labels, a region in id 1."""
    photos = folder / "photos"
    rows = []
    for place, colour in enumerate(COLOURS):
        for number in range(EACH):
            path = f"{colour}/{number}.png"
            (photos / path).parent.mkdir(parents=True, exist_ok=True)
            (photos / path).write_bytes(encoded(painted(colour, 10 * place + number)))
            rows.append(
                {
                    "path": path,
                    "label": colour,
                    "caption": f"a wall of {colour}, number {number}",
                    "tags": [colour, "even" if number % 2 == 0 else "odd"],
                    "categories": ["things", colour],
                    "width": SIZE[0],
                    "height": SIZE[1],
                }
            )
    encoder, table = encoder or pixels(), pl.DataFrame(rows)
    vectors = encoder.encode([photos / row["path"] for row in rows])
    with Index.create(folder / "index", encoder=encoder, centroids="beside") as index:
        index.add(vectors, table, root=photos, encoder_identity=encoder.identity)
        index.calibrate()
        outline = ((0, 0), (20, 0), (20, 15), (0, 15))
        region = Region("window", 0.9, 0.25, (0, 0, 20, 15), (outline,))
        index.regions.put([(1, [region], None)], ["window"], dict.fromkeys(("encoder", "layer", "dim")), 1)
    return folder / "index"


@contextmanager
def client_of(folder: Path, **settings: Any) -> Iterator[TestClient]:
    """Yield a client of a service of the index in ``folder``, on this machine."""
    with (
        Index.open(folder) as index,
        TestClient(
            create_app(index, Settings(**settings)),
            base_url="http://localhost",
            follow_redirects=False,
            raise_server_exceptions=False,
        ) as client,
    ):
        yield client
