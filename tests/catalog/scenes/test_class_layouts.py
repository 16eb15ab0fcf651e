import csv
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from PIL import Image

from perisphere.catalog import Catalog, decode
from perisphere.catalog.readers import READERS, read
from perisphere.catalog.scenes import take_photo, write_scenes
from perisphere.catalog.scenes.layouts import LAYOUTS
from perisphere.taxonomy import Taxonomy

SMALL = {"landmarks": 2, "photos": 7, "size": 48, "seed": 5, "difficulty": "easy"}
IDENTITIES = {"market1501", "fashion"}  # tested in test_identity_layouts.py
READER = {"cifar": "cifar100"}


@pytest.fixture(scope="module", params=sorted(set(LAYOUTS) - IDENTITIES))
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, Catalog]:
    layout, out = request.param, tmp_path_factory.mktemp("scenes") / "world"
    photos = Path(write_scenes(out, layout=layout, **SMALL, workers=1).photos_folder)  # type: ignore[arg-type]
    format = READER.get(layout, layout)
    assert format in READERS
    return layout, out, read(format, photos, out=out.parent / "catalog")


def test_the_taxonomy_beside_the_photos_knows_every_label(world: tuple[str, Path, Catalog]) -> None:
    _, out, found = world
    tree = Taxonomy.load(out / "taxonomy.txt")
    labels = sorted({label for label in found.labels() if label is not None})
    assert tree.classes_of(labels) == labels
    assert list(tree.leaves) == labels
    assert tree.roots == ("root",)
    assert tree.is_tree
    assert tree.height == 3
    assert len(labels) == SMALL["landmarks"]


def test_what_is_true_of_the_photos_fits_them(world: tuple[str, Path, Catalog]) -> None:
    layout, out, _ = world
    with (out / "truth/captions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == SMALL["landmarks"] * SMALL["photos"]  # type: ignore[operator]
    side = 32 if layout == "cifar" else SMALL["size"]
    mask = np.asarray(Image.open(out / "truth/masks" / Path(rows[0]["path"]).with_suffix(".png")))
    assert mask.shape == (side, side)
    keypoints = pl.read_parquet(out / "truth/keypoints.parquet")
    assert keypoints["x"].max() <= side
    assert keypoints["x"].max() > side / 2


def test_cifar_holds_the_photos_themselves(tmp_path: Path) -> None:
    write_scenes(tmp_path / "world", layout="cifar", **SMALL, workers=1)  # type: ignore[arg-type]
    found = read("cifar100", tmp_path / "world/cifar", out=tmp_path / "catalog")
    train, test = found.select(split="train"), found.select(split="test")
    assert (len(train), len(test)) == (2 * 5, 2 * 2)
    for catalog, numbers in ((train, (1, 2)), (test, (0, 6))):
        for position, number in enumerate(numbers):
            photo = take_photo(5, 0, number, size=48, difficulty="easy")
            expected = cv2.resize(photo.pixels, (32, 32), interpolation=cv2.INTER_AREA)
            assert np.array_equal(decode(catalog.paths()[position]), expected)
            assert catalog.table["categories"][position].to_list() == [
                photo.landmark.family,
                photo.landmark.slug,
            ]


def test_cub_divides_its_photos(tmp_path: Path) -> None:
    write_scenes(tmp_path / "world", layout="cub", **SMALL, workers=1, truth=False)  # type: ignore[arg-type]
    found = read("cub", tmp_path / "world/cub", strict=True)
    assert (len(found.select(split="train")), len(found.select(split="test"))) == (2 * 4, 2 * 3)
    assert list(found.classes) == ["1", "2"]
    for path, label in found.table.select("path", "label").iter_rows():
        assert path.startswith(f"images/{label}/{label[4:]}_")
    assert sorted(path.name for path in (tmp_path / "world").iterdir()) == [
        "cub", "scenes.json", "taxonomy.txt"
    ]  # fmt: skip


@pytest.mark.parametrize("layout", ["cifar", "cub"])
def test_bytes_do_not_depend_on_workers(layout: str, tmp_path: Path) -> None:
    few = {**SMALL, "landmarks": 1, "photos": 11, "size": 32}
    for name, workers in (("one", 1), ("two", 2)):
        write_scenes(tmp_path / name, layout=layout, **few, workers=workers)  # type: ignore[arg-type]
    one, two = (
        {
            file.relative_to(tmp_path / name): file.read_bytes()
            for file in (tmp_path / name).rglob("*")
            if file.is_file()
        }
        for name in ("one", "two")
    )
    assert one == two
