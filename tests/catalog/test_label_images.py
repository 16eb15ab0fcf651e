"""Label images are written and read back; what is none is refused."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perisphere.catalog.label_images import colours, read_labels, write_labels
from perisphere.catalog.painting import overlay, paint
from perisphere.errors import PerisphereError


def labels() -> np.ndarray:
    made = np.zeros((12, 16), np.uint8)
    made[2:8, 3:9], made[5:12, 10:], made[0] = 1, 10, 255
    return made


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.png", labels(), 10)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), labels())
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == "P"
        assert picture.convert("RGB").getpixel((4, 4)) == tuple(colours(10)[1])


def test_grey_masks_are_read(tmp_path: Path) -> None:
    Image.fromarray(labels()).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "grey.png"), labels())


def _png(mode: str) -> bytes:
    kept = io.BytesIO()
    Image.new(mode, (4, 4)).save(kept, "PNG")
    return kept.getvalue()


def _noise() -> bytes:
    kept = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(kept, "PNG")
    return kept.getvalue()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "cannot be read"),
        (b"cos\nsystem\n(S'touch /tmp/x'\ntR.", "cannot be read"),
        (_png("RGB"), "pixels of kind RGB"),
        (_noise()[:2000], "cannot be read"),
        (_png("I;16"), "pixels of kind I;16"),
    ],
    ids=["empty", "pickle", "colour", "torn", "16 bits"],
)
def test_what_is_no_mask_is_named_in_one_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    file = tmp_path / "mask.png"
    file.write_bytes(content)
    with pytest.raises(PerisphereError, match=complaint) as error:
        read_labels(file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("side", [12_000, 60_000])  # beyond our own bound, and beyond Pillow's
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    head = bytearray(_png("L"))
    head[16:24] = side.to_bytes(4, "big") * 2
    head[29:33] = zlib.crc32(head[12:29]).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(bytes(head))
    with pytest.raises(PerisphereError, match=r"bomb\.png: has more than 100,000,000 pixels"):
        read_labels(tmp_path / "bomb.png")


def test_a_missing_mask_and_too_many_classes(tmp_path: Path) -> None:
    with pytest.raises(PerisphereError, match="no such mask"):
        read_labels(tmp_path / "none.png")
    with pytest.raises(PerisphereError, match="255 classes"):
        colours(255)


def test_colours_of_ten_classes_are_far_apart() -> None:
    found = colours(10).astype(int)
    apart = np.abs(found[:, None] - found[None]).sum(-1)
    assert apart[~np.eye(11, dtype=bool)].min() > 60


def test_an_overlay_changes_only_what_is_masked() -> None:
    picture = np.full((12, 16, 3), 100, np.uint8)
    painted = overlay(picture, labels(), 10)
    same = (painted == picture).all(-1)
    assert same[labels() == 0].all()
    assert same[labels() == 255].all()
    assert not same[labels() == 1].any()


def test_a_painting_has_a_legend_of_what_is_there() -> None:
    picture = np.full((12, 16, 3), 100, np.uint8)
    names = [f"class {place}" for place in range(10)]
    painted = paint(picture, labels(), names, {"class 0": 0.5})
    nothing = paint(picture, np.zeros_like(labels()), names)
    assert painted.width == 320
    assert painted.height > nothing.height
