"""An index of small coloured pictures."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from coloured import COLOURS, EACH, paint, pixels, rows

from perisphere.index import Index


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for place, (label, colour) in enumerate(COLOURS.items()):
        for number in range(EACH):
            paint(root / label / f"{number}.png", colour, 10 * place + number)
        paint(root / "new" / f"{label}.png", colour, 10 * place + 9)
    return root


@pytest.fixture(scope="session")
def made(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the index; no test changes it."""
    folder = tmp_path_factory.mktemp("made") / "index"
    encoder, table = pixels(), rows(photos)
    vectors = encoder.encode([photos / path for path in table["path"]])
    with Index.create(folder, encoder=encoder) as index:
        index.add(vectors, table, root=photos, encoder_identity=encoder.identity)
        index.calibrate()
    return folder


@pytest.fixture
def index(made: Path) -> Iterator[Index]:
    with Index.open(made) as opened:
        yield opened
