"""Photos with label images of the ten concepts."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from photos import write_photo
from PIL import Image

from perisphere.catalog.readers import read
from perisphere.errors import PerisphereError
from perisphere.tags.architecture import CONCEPTS

WIDTH, HEIGHT = 12, 8


def mask(
    file: Path, values: dict[int, int], size: tuple[int, int] = (WIDTH, HEIGHT), mode: str = "L"
) -> None:
    """Write a mask with so many pixels of each value; the others are background."""
    labels = np.zeros(size[0] * size[1], np.uint8)
    filled = np.repeat(list(values), list(values.values()))
    labels[: len(filled)] = filled
    picture = Image.fromarray(labels.reshape(size[1], size[0]))
    if mode == "P":
        picture.putpalette(bytes(range(256)) * 3)
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.convert(mode).save(file)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(4):
        write_photo(tmp_path / f"val_seg/images/{number}.JPG", number, WIDTH, HEIGHT)
    mask(tmp_path / "val_seg/masks/0.png", {1: 5, 10: 30, 255: 9})
    mask(tmp_path / "val_seg/masks/1.png", {6: 1}, mode="P")
    mask(tmp_path / "val_seg/masks/2.png", {})
    mask(tmp_path / "val_seg/masks/3.png", {7: 3})
    (tmp_path / "data").mkdir()
    lines = "".join(f"./val_seg/images/{number}.JPG ./val_seg/masks/{number}.png\n" for number in range(4))
    (tmp_path / "data/wikiscenes_val.txt").write_text(lines)
    return tmp_path


def test_photos_and_their_masks(root: Path, tmp_path: Path) -> None:
    found = read("wikiscenes-masks", root, out=tmp_path / "catalog", strict=True)
    assert found.table["path"].to_list() == [f"val_seg/images/{number}.JPG" for number in range(4)]
    assert found.splits() == ["test"]
    assert found.table["concepts"].to_list() == [["statue", "facade"], ["tower"], [], ["choir"]]
    assert found.source["concepts"] == list(CONCEPTS)
    assert found.masks is not None
    assert found.masks.rows()[0] == (0, "concepts", "val_seg/masks/0.png")
    assert all(path.is_file() for path in found.mask_paths("concepts").values())


def test_masks_that_cannot_be_used(root: Path) -> None:
    masks = root / "val_seg/masks"
    mask(masks / "0.png", {11: 1})
    mask(masks / "1.png", {}, size=(HEIGHT, WIDTH))
    mask(masks / "2.png", {1: 1}, mode="RGB")
    found = read("wikiscenes-masks", root)
    assert found.table["path"].to_list() == ["val_seg/images/3.JPG"]
    reasons = [item.reason for item in found.skipped]
    assert "mask val_seg/masks/0.png: value 11; known are 0 to 10 and 255" in reasons
    assert "mask val_seg/masks/1.png: 8 x 12 pixels where the photo has 12 x 8" in reasons
    assert "mask val_seg/masks/2.png: has pixels of kind RGB" in reasons[2]
    with pytest.raises(PerisphereError, match="value 11"):
        read("wikiscenes-masks", root, strict=True)


def test_missing_masks_and_paths_that_lead_out(root: Path) -> None:
    (root / "val_seg/masks/1.png").unlink()
    lines = (root / "data/wikiscenes_val.txt").read_text() + "../x.jpg val_seg/masks/3.png\nalone.jpg\n"
    (root / "data/wikiscenes_val.txt").unlink()
    (root / "lists").mkdir()
    (root / "lists/wikiscenes_val.txt.gz").write_bytes(gzip.compress(lines.encode()))
    found = read("wikiscenes-masks", root, lists=root / "lists")
    assert found.table.height == 3
    reasons = {item.path: item.reason for item in found.skipped}
    assert reasons == {
        "val_seg/images/1.JPG": "mask val_seg/masks/1.png: no such mask",
        "wikiscenes_val.txt.gz:5": "line is not IMAGE MASK, two paths",
        "wikiscenes_val.txt.gz:6": "line is not IMAGE MASK, two paths",
    }
    with pytest.raises(PerisphereError, match=r"wikiscenes_val.txt"):
        read("wikiscenes-masks", root)


def test_published_list(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(PerisphereError, match="237 x cannot be read"):
        read("wikiscenes-masks", tmp_path, lists=shared / "data/wikiscenes")
