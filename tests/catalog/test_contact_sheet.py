from pathlib import Path

import numpy as np
import pytest
from photos import write_classes, write_photo
from PIL import Image

from perisphere.catalog.contact_sheet import MISSING, PAPER, contact_sheet, save_contact_sheet
from perisphere.catalog.readers import read
from perisphere.errors import UsageError


def test_each_photo_is_where_it_belongs(tmp_path: Path) -> None:
    for label, colour in (("a", (250, 0, 0)), ("b", (0, 0, 250))):
        (tmp_path / label).mkdir()
        Image.new("RGB", (40, 20), colour).save(tmp_path / label / "x.png")
    sheet = np.asarray(contact_sheet(read("folders", tmp_path), per_class=2)).astype(int)
    red, blue = ((sheet == colour).all(axis=2) for colour in ((250, 0, 0), (0, 0, 250)))
    assert red.sum() > 100 * 100
    assert red.sum() == blue.sum()
    assert np.argwhere(red)[:, 0].max() < np.argwhere(blue)[:, 0].min()
    assert tuple(sheet[0, 0]) == PAPER


def test_rows_and_columns_are_bounded_and_seeded(tmp_path: Path) -> None:
    catalog = read("folders", write_classes(tmp_path, {f"class {n:02}": 5 for n in range(9)}))
    small, large = (contact_sheet(catalog, classes=rows, per_class=3) for rows in (2, 9))
    assert small.width == large.width
    assert small.height < large.height / 2
    one, same, other = (np.asarray(contact_sheet(catalog, classes=3, seed=seed)) for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()


def test_a_catalog_without_labels_and_hostile_names(tmp_path: Path) -> None:
    for number in range(20):
        write_photo(tmp_path / f"{number}.jpg", number)
    assert contact_sheet(read("images", tmp_path), classes=2).height < 480
    write_photo(tmp_path / ("very long " * 20 + "\n☃") / "x.jpg")
    assert contact_sheet(read("folders", tmp_path)).width < 1300


def test_a_photo_that_is_gone_is_a_grey_cell(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a/x.jpg")
    catalog = read("folders", tmp_path)
    path.unlink()
    assert (np.asarray(contact_sheet(catalog)) == MISSING).all(axis=2).sum() > 100 * 100


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_the_suffix_names_the_kind(suffix: str, tmp_path: Path) -> None:
    catalog = read("folders", write_classes(tmp_path / "photos", {"a": 2}))
    save_contact_sheet(catalog, tmp_path / f"sheet{suffix}")
    with Image.open(tmp_path / f"sheet{suffix}") as sheet:
        assert sheet.format == {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}[suffix]


def test_wrong_words(tmp_path: Path) -> None:
    catalog = read("folders", write_classes(tmp_path / "photos", {"a": 2}))
    with pytest.raises(UsageError, match=r"sheet\.gif: a sheet is \.jpg"):
        save_contact_sheet(catalog, tmp_path / "sheet.gif")
    with pytest.raises(UsageError, match="0 classes"):
        contact_sheet(catalog, classes=0)
