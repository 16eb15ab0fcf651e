import copy
from pathlib import Path

import polars as pl
import pytest
from drawn import picture
from PIL import Image

from perisphere.catalog import Catalog
from perisphere.encoder import Encoder, Preprocessing
from perisphere.nets import NetSpec, build, input_spec


@pytest.fixture(scope="session")
def resnet() -> Encoder:
    """A ResNet with random weights that looks at 32 x 32 pixels."""
    preprocessing = Preprocessing.for_architecture(input_spec("cifar_resnet20"))
    net = build(NetSpec(backbone="cifar_resnet20"), seed=3)
    return Encoder(net, preprocessing, name="tiny", provenance={"seed": 3}, metrics={"mAP": 0.5})


@pytest.fixture
def encoder(resnet: Encoder) -> Encoder:
    """The same for each test, which may save it: that gives an encoder its folder."""
    return copy.copy(resnet)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """20 PNG pictures; number 7 is text, number 11 is cut short, number 13 is missing."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(20):
        Image.fromarray(picture(number)).save(folder / f"{number:02}.png")
    (folder / "07.png").write_text("no picture")
    whole = (folder / "11.png").read_bytes()
    (folder / "11.png").write_bytes(whole[: len(whole) // 2])
    (folder / "13.png").unlink()
    return folder


@pytest.fixture
def catalog(photos: Path) -> Catalog:
    table = pl.DataFrame(
        {
            "id": list(range(100, 120)),
            "path": [f"{number:02}.png" for number in range(20)],
            "split": ["train", "test"] * 10,
            "label": [f"place {number % 4}" for number in range(20)],
            "width": [40] * 20,
            "height": [48] * 20,
        }
    )
    return Catalog(table, photos)
