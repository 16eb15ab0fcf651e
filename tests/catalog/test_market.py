from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from photos import write_photo

from perisphere.catalog import Skipped
from perisphere.catalog.readers import market, read
from perisphere.catalog.readers.listing import Listing
from perisphere.errors import PerisphereError

PUBLISHED = {
    "bounding_box_train": ["0002_c1s1_000451_03.jpg", "0002_c2s1_000801_01.jpg", "0007_c3s3_077419_03.jpg"],
    "query": ["0001_c1s1_001051_00.jpg", "0001_c2s1_000301_00.jpg"],
    "bounding_box_test": [
        "-1_c1s1_000401_03.jpg",
        "0000_c1s1_000151_01.jpg",
        "0001_c1s1_001051_03.jpg",
        "0001_c6s3_077467_03.jpg",
    ],
}


def write_layout(root: Path, files: dict[str, list[str]]) -> Path:
    for folder, names in files.items():
        for seed, name in enumerate(names):
            write_photo(root / folder / name, seed, 16, 32)
    return root


@pytest.fixture
def published(tmp_path: Path) -> Path:
    root = write_layout(tmp_path / "Market-1501-v15.09.15", PUBLISHED)
    (root / "bounding_box_test/Thumbs.db").write_bytes(b"x")
    return root


@pytest.mark.parametrize("format", ["market1501", "dukemtmc"])
def test_identity_and_camera_from_the_file_name(format: str, published: Path) -> None:
    found = read(format, published)
    assert found.table.select("path", "split", "label", "camera").rows() == [
        ("bounding_box_train/0002_c1s1_000451_03.jpg", "train", "0002", "0"),
        ("bounding_box_train/0002_c2s1_000801_01.jpg", "train", "0002", "1"),
        ("bounding_box_train/0007_c3s3_077419_03.jpg", "train", "0007", "2"),
        ("query/0001_c1s1_001051_00.jpg", "query", "0001", "0"),
        ("query/0001_c2s1_000301_00.jpg", "query", "0001", "1"),
        ("bounding_box_test/0000_c1s1_000151_01.jpg", "gallery", "0000", "0"),
        ("bounding_box_test/0001_c1s1_001051_03.jpg", "gallery", "0001", "0"),
        ("bounding_box_test/0001_c6s3_077467_03.jpg", "gallery", "0001", "5"),
    ]
    assert found.skipped == [
        Skipped("bounding_box_test/-1_c1s1_000401_03.jpg", "junk (identity -1)"),
        Skipped("bounding_box_test/Thumbs.db", "not an image file (.db)"),
    ]


def test_junk_is_no_error_when_reading_is_strict(published: Path) -> None:
    assert len(read("market1501", published, strict=True)) == 8


def test_names_of_duke(tmp_path: Path) -> None:
    files = {
        "bounding_box_train": ["0001_c2_f0046182.jpg"],
        "query": ["0005_c2_f0046985.jpg"],
        "bounding_box_test": ["0005_c8_f0051341.jpg"],
    }
    found = read("dukemtmc", write_layout(tmp_path / "DukeMTMC-reID", files))
    assert found.table.select("label", "camera").rows() == [("0001", "1"), ("0005", "1"), ("0005", "7")]


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("query/person_c1.jpg", "file name is not IDENTITY_cCAMERA..."),
        ("query/0001_k1s1.jpg", "file name is not IDENTITY_cCAMERA..."),
        ("query/x0001_c1s1.jpg", "file name is not IDENTITY_cCAMERA..."),
        ("query/--1_c1s1.jpg", "file name is not IDENTITY_cCAMERA..."),
        ("query/-2_c1s1.jpg", "file name is not IDENTITY_cCAMERA..."),
        ("query/0001_c0s1.jpg", "camera 0, where they count from 1"),
        ("query/0000_c1s1.jpg", "distractor (identity 0) outside the gallery"),
        ("bounding_box_train/0000_c1s1.jpg", "distractor (identity 0) outside the gallery"),
    ],
)
def test_what_does_not_parse_is_counted_by_name(published: Path, place: str, reason: str) -> None:
    write_photo(published / place)
    found = read("market1501", published)
    assert len(found) == 8
    assert Skipped(place, reason) in found.skipped
    with pytest.raises(PerisphereError, match=place):
        read("market1501", published, strict=True)


def test_a_folder_that_is_named_like_a_photo_says_nothing(tmp_path: Path) -> None:
    root = write_layout(tmp_path / "0099_c9", PUBLISHED)
    assert set(read("market1501", root).labels()) == {"0000", "0001", "0002", "0007"}


@pytest.mark.parametrize("folder", ["bounding_box_train", "query", "bounding_box_test"])
def test_a_missing_folder_is_an_error_that_names_it(published: Path, folder: str) -> None:
    (published / folder).rename(published / "elsewhere")
    with pytest.raises(PerisphereError, match=f"holds no folder {folder}"):
        read("market1501", published)


@given(
    identity=st.integers(1, 99_999),
    width=st.integers(1, 6),
    camera=st.integers(1, 40),
    rest=st.sampled_from(["s1_000451_03", "_f0046182", "_1", ""]),
)
def test_any_padding_means_the_same_identity(identity: int, width: int, camera: int, rest: str) -> None:
    listing = Listing(Path())
    market._add(listing, f"query/{identity:0{width}d}_c{camera}{rest}.jpg", "query")
    assert [(row["label"], row["camera"]) for row in listing.rows] == [(f"{identity:04d}", str(camera - 1))]


def test_skips_are_counted_by_reason(published: Path) -> None:
    for number in range(3):
        write_photo(published / f"bounding_box_test/-1_c1s1_00000{number}.jpg")
    reasons = Counter(item.group for item in read("market1501", published).skipped)
    assert reasons["junk (identity -1)"] == 4
