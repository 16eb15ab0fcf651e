"""Pictures cut out by their boxes beforehand."""

import json
import logging
import threading
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

import perisphere.cli.crop  # noqa: F401
from perisphere.catalog import Catalog, crops
from perisphere.catalog.crops import Style, crop, fitted, parse_size
from perisphere.catalog.readers import read
from perisphere.cli.main import app
from perisphere.errors import PerisphereError, UsageError

SMALL = Style(64, 32)
ROWS = [
    ("u.png", "train", "4", "user", [10, 20, 50, 100], ["dresses"]),
    ("s.png", "train", "4", "shop", None, ["dresses"]),
    ("s.png", "train", "7", "shop", [0, 0, 20, 10], ["bags"]),
    ("u.png", "train", "7", "user", [90, 90, 120, 120], ["bags"]),
    ("u.png", "query", "11", "user", [10, 20, 50, 100], []),
    ("s.png", "gallery", "11", "shop", None, []),
    ("s.png", "gallery", "12", "shop", None, []),
]


@pytest.fixture
def photos(tmp_path: Path) -> Catalog:
    """Photos of 120 x 120 pixels: black, and red where the first box is."""
    pixels = np.zeros((120, 120, 3), np.uint8)
    pixels[20:100, 10:50] = (255, 0, 0)
    (tmp_path / "photos").mkdir()
    for name in ("u.png", "s.png"):
        Image.fromarray(pixels).save(tmp_path / "photos" / name)
    columns = ["path", "split", "label", "domain", "box", "categories"]
    table = pl.DataFrame(ROWS, columns, orient="row")
    return Catalog(table.with_columns(width=120, height=120), tmp_path / "photos", {"format": "made"})


def picture(folder: Path, place: str) -> np.ndarray:
    return np.asarray(Image.open(folder / "photos" / place)).astype(int)


def test_crops_are_what_lies_in_the_boxes(photos: Catalog, tmp_path: Path) -> None:
    made = crop(photos, SMALL, tmp_path / "crops")
    assert (made.made, made.resumed) == (7, 0)
    cut = picture(tmp_path / "crops", "train/4_0.jpg")
    assert cut.shape == (64, 32, 3)
    assert np.abs(cut - [255, 0, 0]).max() < 12
    whole = picture(tmp_path / "crops", "train/4_1.jpg")
    assert whole[:15].min() > 240  # the whole photo is square: white above it and below
    assert whole[49:].min() > 240
    assert whole[18:20].max() < 20


def test_a_small_box_is_not_enlarged_but_squashed_where_asked(photos: Catalog, tmp_path: Path) -> None:
    crop(photos, SMALL, tmp_path / "pad")
    dark = (picture(tmp_path / "pad", "train/7_2.jpg").max(axis=2) < 100).nonzero()
    assert [(axis.min(), axis.max() + 1) for axis in dark] == [(27, 37), (6, 26)]
    crop(photos, Style(64, 32, fit="squash"), tmp_path / "squash")
    assert picture(tmp_path / "squash", "train/7_2.jpg").max() < 20


def test_the_layout_is_the_one_that_fashion_reads(photos: Catalog, tmp_path: Path) -> None:
    made = crop(photos, SMALL, tmp_path / "crops").catalog
    assert made.table.select("path", "split", "label", "camera", "domain", "categories").rows() == [
        ("train/4_0.jpg", "train", "4", "0", "user", ["dresses"]),
        ("train/4_1.jpg", "train", "4", "0", "shop", ["dresses"]),
        ("train/7_2.jpg", "train", "7", "0", "shop", ["bags"]),
        ("train/7_3.jpg", "train", "7", "0", "user", ["bags"]),
        ("query/11_4.jpg", "query", "11", "0", "user", []),
        ("gallery/11_5.jpg", "gallery", "11", "1", "shop", []),
        ("gallery/12_6.jpg", "gallery", "12", "1", "shop", []),
    ]
    assert made.table["box"].null_count() == 7
    assert read("fashion", tmp_path / "crops/photos").table.equals(made.table)
    assert made.source["crops"]["of"] == {"format": "made"}
    assert made.source["root"] == str(tmp_path / "crops/photos")


def test_the_files_are_coco(photos: Catalog, tmp_path: Path) -> None:
    crop(photos, SMALL, tmp_path / "crops")
    content = json.loads((tmp_path / "crops/photos/train.json").read_text())
    assert content["images"][2] == {
        "id": 2, "file_name": "7_2.jpg", "width": 32, "height": 64, "original": "s.png"
    }  # fmt: skip
    assert content["annotations"][2] == {
        "id": 2, "image_id": 2, "pair_id": 7, "source": "shop", "category_id": 0,
        "bbox": "", "area": 200, "segmentation": "", "iscrowd": 0,
    }  # fmt: skip
    assert [entry["name"] for entry in content["categories"]] == ["bags", "dresses"]


def test_crops_can_be_moved(photos: Catalog, tmp_path: Path) -> None:
    crop(photos, SMALL, tmp_path / "crops")
    (tmp_path / "crops").rename(tmp_path / "elsewhere")
    found = Catalog.load(tmp_path / "elsewhere")
    assert all(path.is_file() for path in found.paths())
    found.save(tmp_path / "elsewhere", overwrite=True)
    assert all(path.is_file() for path in found.paths())


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.jp*g"))}


@pytest.fixture
def many(photos: Catalog) -> Catalog:
    """So many rows that they are more than one block."""
    again = pl.concat([photos.table] * 30).with_columns(id=pl.int_range(pl.len()))
    return photos.with_table(again)


def test_any_number_of_threads_makes_the_same(many: Catalog, tmp_path: Path) -> None:
    for workers in (1, 3):
        crop(many, SMALL, tmp_path / f"crops{workers}", workers=workers)
    assert files(tmp_path / "crops1") == files(tmp_path / "crops3")


def interrupted(many: Catalog, out: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Stop a run in the middle of writing a crop."""
    left, lock, write = [after], threading.Lock(), Path.write_bytes

    def stop(path: Path, data: bytes) -> int:
        with lock:
            left[0] -= 1
        if left[0] < 0:
            write(path, data[: len(data) // 2])
            raise KeyboardInterrupt
        return write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", stop)
        with pytest.raises(KeyboardInterrupt):
            crop(many, SMALL, out)


def test_an_interrupted_run_goes_on(many: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crop(many, SMALL, tmp_path / "whole")
    interrupted(many, tmp_path / "crops", monkeypatch, 50)
    assert not (tmp_path / "crops").exists()
    made = crop(many, SMALL, tmp_path / "crops")
    assert (made.made, made.resumed) == (len(many) - 50, 50)
    assert files(tmp_path / "crops") == files(tmp_path / "whole")
    assert made.catalog.table.equals(Catalog.load(tmp_path / "whole").table)
    assert not list(tmp_path.glob(".crops*"))
    assert not list((tmp_path / "crops").rglob("*.part"))


def test_another_style_or_other_photos_start_again(
    many: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    interrupted(many, tmp_path / "crops", monkeypatch, 50)
    with caplog.at_level(logging.WARNING):
        made = crop(many, Style(64, 64), tmp_path / "crops")
    assert (made.made, made.resumed) == (len(many), 0)
    assert "starting again" in caplog.text
    interrupted(many, tmp_path / "again", monkeypatch, 50)
    Image.new("RGB", (120, 120), "blue").save(many.root / "u.png")
    assert crop(many, SMALL, tmp_path / "again").resumed == 0


def test_two_runs_do_not_write_to_one_place(photos: Catalog, tmp_path: Path) -> None:
    with (
        crops._partial(tmp_path / "crops", "state"),
        pytest.raises(PerisphereError, match="another run is writing here"),
    ):
        crop(photos, SMALL, tmp_path / "crops")


def test_what_is_there_is_replaced_only_on_request(photos: Catalog, tmp_path: Path) -> None:
    crop(photos, SMALL, tmp_path / "crops")
    before = files(tmp_path / "crops")
    with pytest.raises(PerisphereError, match="exists already"):
        crop(photos, Style(8, 8), tmp_path / "crops")
    assert files(tmp_path / "crops") == before
    crop(photos, Style(8, 8), tmp_path / "crops", overwrite=True)
    assert picture(tmp_path / "crops", "train/4_0.jpg").shape == (8, 8, 3)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    with pytest.raises(PerisphereError, match="did not write"):
        crop(photos, SMALL, tmp_path / "mine", overwrite=True)


def test_what_cannot_be_cropped_is_counted(photos: Catalog, tmp_path: Path) -> None:
    (photos.root / "u.png").write_bytes(b"")
    found = crop(photos, SMALL, tmp_path / "crops").catalog
    reasons = [(item.path, item.group) for item in found.skipped]
    assert reasons.count(("u.png", "empty file")) == 3
    assert ("train/4_1.jpg", "its pair_id has one training photo") in reasons
    assert found.table["split"].to_list() == ["gallery", "gallery"]


def test_boxes_below_an_area_and_other_splits_are_left_out(photos: Catalog, tmp_path: Path) -> None:
    table = photos.table.with_columns(split=pl.when(pl.col("id") == 6).then(None).otherwise("split"))
    found = crop(photos.with_table(table), Style(64, 32, min_area=300), tmp_path / "crops").catalog
    reasons = {item.group: item.path for item in found.skipped}
    assert reasons["box of less than 300 square pixels"] == "s.png"
    assert reasons["in none of the splits train, query and gallery"] == "s.png"
    assert found.labels() == ["4", "4", "11", "11"]


@pytest.mark.parametrize("label", ["0002", "dome", "-1", "1.0", "", None])
def test_a_label_that_is_no_pair_id_is_an_error(label: str | None, photos: Catalog, tmp_path: Path) -> None:
    table = photos.table.with_columns(label=pl.when(pl.col("id") == 2).then(pl.lit(label)).otherwise("label"))
    with pytest.raises(PerisphereError, match="is no pair_id"):
        crop(photos.with_table(table), SMALL, tmp_path / "crops")
    assert not list(tmp_path.glob(".crops*"))


def test_nothing_to_crop_is_an_error(photos: Catalog, tmp_path: Path) -> None:
    bare = photos.with_table(photos.table.with_columns(split=pl.lit("test")))
    with pytest.raises(PerisphereError, match="no image is in split train, query or gallery"):
        crop(bare, SMALL, tmp_path / "crops")
    for path in photos.root.iterdir():
        path.unlink()
    with pytest.raises(PerisphereError, match="no box can be cropped"):
        crop(photos, SMALL, tmp_path / "crops")
    assert not (tmp_path / "crops").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"height": 0}, "size: 0x32"),
        ({"width": 9000}, "size: 64x9000"),
        ({"fit": "stretch"}, "'stretch' is neither"),
        ({"quality": 0}, "quality: 0"),
        ({"min_area": -1}, "min_area: -1"),
    ],
)
def test_a_style_out_of_its_range_is_refused(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        Style(**{"height": 64, "width": 32, **options})  # type: ignore[arg-type]


@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    style=st.builds(Style, st.integers(1, 60), st.integers(1, 60), st.sampled_from(["pad", "squash"])),
)
def test_every_box_gets_the_size_and_keeps_its_proportions(size: tuple[int, int], style: Style) -> None:
    width, height = size
    dark = np.asarray(fitted(Image.new("RGB", size), style)).max(axis=2) < 128
    assert dark.shape == (style.height, style.width)
    if style.fit == "squash":
        assert dark.all()
        return
    shrunk = min(style.width / width, style.height / height, 1)
    rows, columns = dark.any(1), dark.any(0)
    assert abs(rows.sum() - max(height * shrunk, 1)) <= 1
    assert abs(columns.sum() - max(width * shrunk, 1)) <= 1
    for line in (rows, columns):  # in the middle
        assert abs(line.argmax() - line[::-1].argmax()) <= 1


@pytest.mark.parametrize(("text", "size"), [("256x128", (256, 128)), ("320X320", (320, 320))])
def test_size_is_height_and_width(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["256", "256x", "x128", "256x128x3", "-1x3", "axb", ""])
def test_another_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="HEIGHTxWIDTH"):
        parse_size(text)


def test_the_command(photos: Catalog, tmp_path: Path) -> None:
    photos.save(tmp_path / "catalog")
    words = ["crop", str(tmp_path / "catalog"), "--size", "64x32", "-o", str(tmp_path / "crops")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.exception
    assert "7 images, 4 classes" in result.stdout
    assert "7 crops of 64x32 made" in result.stdout
    facts = json.loads(CliRunner().invoke(app, [*words, "--overwrite", "--json"]).stdout)
    assert (facts["made"], facts["resumed"], facts["images"]) == (7, 0, 7)
    assert facts["height"] == {"min": 64, "median": 64.0, "max": 64}
