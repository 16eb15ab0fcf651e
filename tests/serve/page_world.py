"""Generated cathedrals in an index with everything that the page can show, and its service on a port."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from served import COLOURS, painted, pixels
from typer.testing import CliRunner

from perisphere.catalog import Catalog
from perisphere.cli.main import app
from perisphere.encoder import Encoder, Preprocessing
from perisphere.encoder.segment import Segmenter
from perisphere.encoder.segment_catalog import segment_catalog
from perisphere.index import Index
from perisphere.index.segmented import bring_regions
from perisphere.nets.segmentation import SegmentationSpec, build_segmentation
from perisphere.serve.app import create_app
from perisphere.serve.settings import Settings
from perisphere.tags import Tags
from perisphere.tags.architecture import CONCEPTS
from perisphere.taxonomy import ClassPoints, Taxonomy

LANDMARKS, PHOTOS, SIZE = 3, 8, 64
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def browser() -> str | None:
    """The path of a Chromium, where there is one."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def make_world(folder: Path) -> Path:
    """Make an index of generated photos with captions, categories, concepts, centroids and regions."""
    scenes = ["scenes", str(folder / "world"), "--layout", "wikiscenes", "--landmarks", str(LANDMARKS)]
    _run(*scenes, "--photos", str(PHOTOS), "--size", str(SIZE), "--workers", "1")
    _run("read", "wikiscenes", str(folder / "world" / "wikiscenes"), "-o", str(folder / "catalog"))
    spec = SegmentationSpec(backbone="squeezenet1_0", classes=CONCEPTS, width=16, dilations=(1, 2))
    encoder = Encoder(build_segmentation(spec, seed=1).eval(), Preprocessing(size=(96, 96)), name="untrained")
    catalog = Catalog.load(folder / "catalog")
    with Index.create(folder / "index", encoder=encoder, centroids="beside") as index:
        vectors = encoder.encode(catalog.paths())
        index.add(vectors, catalog.table, root=catalog.root, encoder_identity=encoder.identity)
        index.calibrate(source="labels")
        segment_catalog(catalog, Segmenter(encoder, keep=0.1), folder / "segmented")
        bring_regions(index, Catalog.load(folder / "segmented"))
    return folder / "index"


def knowing() -> Encoder:
    """An encoder that knows the colours of :mod:`served` as words, and as the classes of a taxonomy."""
    points = pixels().encode([painted(colour, 100) for colour in COLOURS])
    places = range(1, len(COLOURS) + 1)
    names = {0: "things", **dict(zip(places, COLOURS, strict=True))}
    taxonomy = Taxonomy.from_pairs([(0, place) for place in places], names)
    classes = ClassPoints(points, tuple(map(str, places)), taxonomy)
    tags = Tags(tuple(COLOURS), points, np.ones(len(COLOURS), np.int64), {})
    return pixels(classes=classes, tags=tags)


def _run(*words: str) -> None:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, f"{result.output} {result.exception!r}"


@contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[str]:
    """Yield the address of a service of the index in ``folder``, on this machine."""
    with Index.open(folder) as index:
        application = create_app(index, Settings(log_requests=False, **settings))
        server = uvicorn.Server(uvicorn.Config(application, port=0, log_level="warning", ws="none"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            thread.join(0.05)
        try:
            yield "http://{}:{}".format(*server.servers[0].sockets[0].getsockname())
        finally:
            server.should_exit = True
            thread.join(20)
