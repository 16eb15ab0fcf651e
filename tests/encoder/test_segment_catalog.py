"""A catalog of photos becomes one with masks; a killed run goes on."""

import importlib.util
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from perisphere.catalog import Catalog
from perisphere.catalog.label_images import read_labels
from perisphere.encoder import Encoder, Preprocessing
from perisphere.encoder.segment import Segmentation, Segmenter
from perisphere.encoder.segment_catalog import (
    Segmented,
    paint_photo,
    photos_as_catalog,
    segment_catalog,
)
from perisphere.errors import PerisphereError
from perisphere.nets.segmentation import SegmentationSpec, build_segmentation

CLASSES = ("tower", "portal")


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    spec = SegmentationSpec(backbone="squeezenet1_0", width=8, classes=CLASSES)
    encoder = Encoder(build_segmentation(spec, seed=1).eval(), Preprocessing(size=(40, 40)), name="small")
    return Segmenter(encoder, flip=False, precision="float32")


@pytest.fixture
def photos(tmp_path: Path) -> Catalog:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for place in range(5):
        pixels = rng.integers(0, 255, (30 + place, 40, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{place}.png")
    (folder / "bad.jpg").write_bytes(b"no picture")
    names = ["0.png", "1.png", "bad.jpg", "2.png", "3.png", "4.png"]
    table = pl.DataFrame({"id": [7, 3, 5, 1, 0, 9], "path": names, "concepts": [["portal"]] * 6})
    keypoints = pl.DataFrame({"image": [7, 5], "point": [1, 1], "x": [0.5, 0.5], "y": [1.0, 1.0]})
    return Catalog(table, folder, {"format": "drawn"}, keypoints=keypoints)


def test_labels_to_keep_must_be_there(photos: Catalog, segmenter: Segmenter, tmp_path: Path) -> None:
    named = Segmenter(segmenter.encoder, keep="labels")
    with pytest.raises(PerisphereError, match="no photo has a concept that could be kept"):
        segment_catalog(photos_as_catalog(photos.paths()[:1]), named, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_folder_is_a_catalog_with_masks_regions_and_scores(
    photos: Catalog, segmenter: Segmenter, tmp_path: Path
) -> None:
    found = segment_catalog(photos, segmenter, tmp_path / "out", painted=True)
    catalog = Catalog.load(tmp_path / "out")
    assert catalog.table["id"].to_list() == [7, 3, 1, 0, 9]
    assert [item.path for item in catalog.skipped] == ["bad.jpg"]
    assert catalog.root == photos.root
    assert catalog.source["concepts"] == list(CLASSES)
    assert catalog.keypoints is not None
    assert catalog.keypoints["image"].to_list() == [7]
    assert found.scores.shape == (5, 2)
    for row, (image, path) in enumerate(catalog.mask_paths("concepts").items()):
        assert path == tmp_path / "out" / "masks" / f"{image}.png"
        labels = read_labels(path)
        alone = segmenter.segment(np.array(Image.open(catalog.paths()[row])))
        np.testing.assert_array_equal(labels, alone.labels)
        np.testing.assert_allclose(found.scores[row], alone.scores)
        assert (tmp_path / "out" / "painted" / f"{image}.jpg").is_file()
    assert catalog.regions is not None
    assert set(catalog.regions["concept"]) <= set(CLASSES)
    assert not (tmp_path / ".out.partial").exists()


class Interrupted(BaseException):
    """A kill."""


def test_a_killed_run_goes_on_and_gives_the_same(
    photos: Catalog, segmenter: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perisphere.encoder.segment_catalog.SYNC_SECONDS", 0)
    whole = segment_catalog(photos, segmenter, tmp_path / "whole")
    seen: list[Any] = []
    original = segmenter.segment

    def counted(picture: np.ndarray, labels: tuple[str, ...] = ()) -> Segmentation:
        seen.append(picture.shape)
        if len(seen) == 4:
            raise Interrupted
        return original(picture, labels)

    monkeypatch.setattr(segmenter, "segment", counted)
    with pytest.raises(Interrupted):
        segment_catalog(photos, segmenter, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    resumed = segment_catalog(photos, segmenter, tmp_path / "out")
    assert len(seen) == 6  # 3 and a torn one, then the two that were left
    assert resumed.catalog.source["segmented"]["run"]["resumed_at"] == 4
    np.testing.assert_array_equal(resumed.scores, whole.scores)
    assert resumed.catalog.regions is not None
    assert resumed.catalog.regions.equals(whole.catalog.regions)  # type: ignore[arg-type]
    for image in resumed.catalog.table["id"]:
        before, after = (tmp_path / name / "masks" / f"{image}.png" for name in ("whole", "out"))
        assert before.read_bytes() == after.read_bytes()


def test_labels_of_the_catalog_can_be_kept(photos: Catalog, segmenter: Segmenter, tmp_path: Path) -> None:
    named = Segmenter(segmenter.encoder, flip=False, keep="labels", background_power=30)
    found = segment_catalog(photos, named, tmp_path / "out")
    assert found.catalog.regions is not None
    assert set(found.catalog.regions["concept"]) == {"portal"}


def test_an_earlier_folder_stays_unless_it_is_to_be_replaced(
    photos: Catalog, segmenter: Segmenter, tmp_path: Path
) -> None:
    segment_catalog(photos.with_table(photos.table[:1]), segmenter, tmp_path / "out")
    with pytest.raises(PerisphereError, match="exists already"):
        segment_catalog(photos, segmenter, tmp_path / "out")
    assert len(Segmented.load(tmp_path / "out").catalog) == 1
    assert len(segment_catalog(photos, segmenter, tmp_path / "out", overwrite=True).catalog) == 5


def test_photos_that_cannot_be_read_are_named(photos: Catalog, segmenter: Segmenter, tmp_path: Path) -> None:
    bad = photos.with_table(photos.table.filter(pl.col("path") == "bad.jpg"))
    with pytest.raises(PerisphereError, match=r"none of the 1 images.*bad\.jpg"):
        segment_catalog(bad, segmenter, tmp_path / "out")
    with pytest.raises(PerisphereError, match="has no images"):
        segment_catalog(photos.with_table(photos.table[:0]), segmenter, tmp_path / "none")


def test_single_photos_wherever_they_lie(photos: Catalog, segmenter: Segmenter, tmp_path: Path) -> None:
    paths = [photos.root / "0.png", photos.root / "3.png"]
    found = segment_catalog(photos_as_catalog(paths), segmenter, tmp_path / "out")
    assert found.catalog.paths() == paths
    assert found.catalog.table["height"].to_list() == [30, 33]
    painting, table = paint_photo(paths[0], segmenter)
    assert painting.width >= 320
    assert table.height <= 2
    with pytest.raises(PerisphereError, match="no such photo"):
        photos_as_catalog([tmp_path / "gone.jpg"])


def _with_scores(folder: Path, content: bytes) -> Path:
    (folder / "scores.npy").write_bytes(content)
    return folder


def _pickled() -> bytes:
    kept = io.BytesIO()
    np.save(kept, np.array([{"a": 1}], object), allow_pickle=True)
    return kept.getvalue() + pickle.dumps(print)


def _promising_too_much() -> bytes:
    kept = io.BytesIO()
    header = {"shape": (10**13, 2), "fortran_order": False, "descr": "<f4"}
    np.lib.format.write_array_header_1_0(kept, header)
    return kept.getvalue() + bytes(40)


HOSTILE = {
    "empty": b"",
    "torn": b"\x93NUMPY\x01\x00",
    "pickle": _pickled(),
    "huge": _promising_too_much(),
    "zip": b"PK\x03\x04" + bytes(40),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_scores_are_refused(
    photos: Catalog, segmenter: Segmenter, tmp_path: Path, content: bytes
) -> None:
    segment_catalog(photos, segmenter, tmp_path / "out")
    with pytest.raises(PerisphereError, match=r"scores\.npy: damaged"):
        Segmented.load(_with_scores(tmp_path / "out", content))
    for other in (np.zeros((2, 2), np.float32), np.full((5, 2), "high")):
        np.save(tmp_path / "out" / "scores.npy", other)
        with pytest.raises(PerisphereError, match="does not fit"):
            Segmented.load(tmp_path / "out")
    (tmp_path / "out" / "scores.npy").unlink()
    with pytest.raises(PerisphereError, match="was not segmented"):
        Segmented.load(tmp_path / "out")


@pytest.mark.skipif(importlib.util.find_spec("pydensecrf") is None, reason="pydensecrf2 is not here")
def test_a_catalog_with_crf(photos: Catalog, segmenter: Segmenter, tmp_path: Path) -> None:
    fitted = Segmenter(segmenter.encoder, flip=False, crf=True)
    found = segment_catalog(photos, fitted, tmp_path / "out")
    assert found.catalog.source["segmented"]["crf"] is True
