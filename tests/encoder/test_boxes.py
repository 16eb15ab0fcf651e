import numpy as np
import polars as pl
import pytest
from drawn import picture
from PIL import Image

from perisphere.catalog import Catalog
from perisphere.encoder import Encoder, Preprocessing, embed
from perisphere.errors import PerisphereError
from perisphere.nets import NetSpec, build

BOXES = [None, [5, 6, 35, 40], None, [0, 0, 20, 48], [90, 90, 99, 99]]


@pytest.fixture
def boxed(tmp_path) -> Catalog:
    """Five PNG pictures of 40 x 48; the last one's box lies outside it."""
    for number in range(5):
        Image.fromarray(picture(number)).save(tmp_path / f"{number}.png")
    table = pl.DataFrame({"path": [f"{number}.png" for number in range(5)], "box": BOXES})
    return Catalog(table, tmp_path)


def _long(size: int = 32) -> Encoder:
    net = build(NetSpec(backbone="small32"), seed=0)
    return Encoder(net, Preprocessing(size=(size, size), resize="long"), name="long")


def test_boxes_are_cut_out_of_paths_and_arrays_alike(encoder: Encoder, boxed: Catalog) -> None:
    pictures = [picture(number) for number in range(4)]
    cut = [image if box is None else image[box[1] : box[3], box[0] : box[2]]
           for image, box in zip(pictures, BOXES, strict=False)]  # fmt: skip
    expected = encoder.encode(cut)
    np.testing.assert_allclose(encoder.encode(pictures, boxes=BOXES[:4]), expected, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(boxed.paths()[:4], boxes=BOXES[:4]), expected, atol=1e-5)


def test_a_large_jpeg_is_not_reduced_under_its_box(tmp_path) -> None:
    """Reduced decoding would move the pixels that the box counts in."""
    image = np.zeros((800, 1200, 3), np.uint8)
    image[100:260, 200:420] = picture(1, 160, 220)
    Image.fromarray(image).save(tmp_path / "large.jpg", quality=95)
    encoder = _long(64)
    part = encoder.encode([tmp_path / "large.jpg"], boxes=[[200, 100, 420, 260]])[0]
    small = Image.fromarray(picture(1, 160, 220)).resize((11, 8), Image.Resampling.BILINEAR)
    assert part @ encoder.encode([np.asarray(small)])[0] > 0.99


def test_embed_takes_the_catalogs_boxes_unless_told_not_to(boxed: Catalog, tmp_path) -> None:
    encoder = _long()
    found = embed(boxed, encoder, tmp_path / "cut")
    assert [(skipped["path"], "the box" in skipped["reason"]) for skipped in found.skipped] == [
        ("4.png", True)
    ]
    assert found.run["boxes"] == 4 - 1
    paths = boxed.paths()
    np.testing.assert_allclose(found.vectors, encoder.encode(paths[:4], boxes=BOXES[:4]), atol=1e-5)
    whole = embed(boxed, encoder, tmp_path / "whole", whole=True)
    assert len(whole) == 5
    np.testing.assert_allclose(whole.vectors, encoder.encode(paths), atol=1e-5)
    assert np.abs(whole.vectors[1] - found.vectors[1]).max() > 1e-3


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_pictures_of_many_sizes_come_out_in_order(batch_size: int) -> None:
    encoder = _long()
    pictures = [picture(seed, 20 + 7 * (seed % 3), 40) for seed in range(8)]
    rows = encoder.encode(pictures, batch_size=batch_size)
    alone = np.concatenate([encoder.encode([image]) for image in pictures])
    np.testing.assert_allclose(rows, alone, atol=1e-5)


def test_a_wrong_number_of_boxes_is_named(encoder: Encoder) -> None:
    with pytest.raises(PerisphereError, match="2 images and 1 boxes"):
        encoder.encode([picture(0), picture(1)], boxes=[None])
    with pytest.raises(PerisphereError, match=r"the box \[90, 90, 99, 99\] holds nothing"):
        encoder.encode([picture(0)], boxes=[[90, 90, 99, 99]])
