"""MSMT17 and CUHK03: identities by list, and by file name in two sorts of boxes."""

from pathlib import Path

import pytest
from photos import write_photo

from perisphere.catalog import Skipped
from perisphere.catalog.readers import read
from perisphere.errors import PerisphereError, UsageError

LISTS = {
    "train": ["0000/0000_000_01_0303morning_0015_0.jpg 0", "0001/0001_004_15_0302noon_0100_1.jpg 1"],
    "val": ["0001/0001_005_02_0302noon_0101_1.jpg 1"],
    "query": ["0000/0000_006_03_0302noon_0102_1.jpg 0"],
    "gallery": ["0000/0000_007_04_0302noon_0103_1.jpg 0", "3059/3059_008_05_0302noon_0104_1.jpg 3059"],
}


def write_msmt17(root: Path, train: str = "train", test: str = "test") -> Path:
    for split, lines in LISTS.items():
        folder = train if split in ("train", "val") else test
        for line in lines:
            write_photo(root / folder / line.split()[0], len(line), 16, 32)
        (root / f"list_{split}.txt").write_text("".join(f"{line}\n" for line in lines))
    return root


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("mask_train_v2", "mask_test_v2")])
def test_msmt17_of_both_versions(train: str, test: str, tmp_path: Path) -> None:
    found = read("msmt17", write_msmt17(tmp_path / "MSMT17", train, test), strict=True)
    assert found.table.select("path", "split", "label", "camera").rows() == [
        (f"{train}/0000/0000_000_01_0303morning_0015_0.jpg", "train", "train-0000", "0"),
        (f"{train}/0001/0001_004_15_0302noon_0100_1.jpg", "train", "train-0001", "14"),
        (f"{train}/0001/0001_005_02_0302noon_0101_1.jpg", "val", "train-0001", "1"),
        (f"{test}/0000/0000_006_03_0302noon_0102_1.jpg", "query", "test-0000", "2"),
        (f"{test}/0000/0000_007_04_0302noon_0103_1.jpg", "gallery", "test-0000", "3"),
        (f"{test}/3059/3059_008_05_0302noon_0104_1.jpg", "gallery", "test-3059", "4"),
    ]


def test_msmt17_without_a_list_of_validation_photos(tmp_path: Path) -> None:
    root = write_msmt17(tmp_path)
    (root / "list_val.txt").unlink()
    assert read("msmt17", root).splits() == ["train", "query", "gallery"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0000/0000_000_01_a_0.jpg", "line is not PATH IDENTITY"),
        ("0000/0000_000_01_a_0.jpg x", "line is not PATH IDENTITY"),
        ("../0000_000_01_a_0.jpg 0", "leads out of the folder of photos"),
        ("0000/photo.jpg 0", "file name is not IDENTITY_NUMBER_CAMERA_..."),
        ("0000/0000_000_01_a_0.jpg 1", "the list and the file name tell of two identities"),
        ("0000/0000_000_00_a_0.jpg 0", "camera 0, where they count from 1"),
    ],
)
def test_a_line_of_msmt17_that_cannot_be_used_is_counted(line: str, reason: str, tmp_path: Path) -> None:
    root = write_msmt17(tmp_path)
    with (root / "list_gallery.txt").open("a") as file:
        file.write(line)
    found = read("msmt17", root)
    assert len(found) == 6
    assert found.skipped == [Skipped(f"list_gallery.txt: line 3: {line}", reason)]
    with pytest.raises(PerisphereError, match="line 3"):
        read("msmt17", root, strict=True)


def test_a_photo_of_msmt17_that_is_not_there_is_counted(tmp_path: Path) -> None:
    root = write_msmt17(tmp_path)
    (root / "test/3059/3059_008_05_0302noon_0104_1.jpg").unlink()
    (skipped,) = read("msmt17", root).skipped
    assert skipped.path == "test/3059/3059_008_05_0302noon_0104_1.jpg"
    assert "cannot be read" in skipped.reason


@pytest.mark.parametrize("name", ["list_train.txt", "list_query.txt", "list_gallery.txt", "test"])
def test_a_part_of_msmt17_that_is_missing_is_an_error(name: str, tmp_path: Path) -> None:
    root = write_msmt17(tmp_path)
    (root / name).rename(root / "elsewhere")
    with pytest.raises(PerisphereError, match=name):
        read("msmt17", root)


@pytest.fixture
def cuhk03(tmp_path: Path) -> Path:
    for seed, boxes in enumerate(("detected", "labeled")):
        for place in (
            "bounding_box_train/0002_c1_1.png",
            "query/0001_c1_1.png",
            "bounding_box_test/0001_c2_6.png",
        ):
            write_photo(tmp_path / boxes / place, seed, 16, 32)
    return tmp_path


@pytest.mark.parametrize("boxes", ["detected", "labeled"])
def test_cuhk03_by_its_boxes(boxes: str, cuhk03: Path) -> None:
    for found in (read("cuhk03", cuhk03, boxes=boxes), read("cuhk03", cuhk03 / boxes)):
        assert found.root == cuhk03 / boxes
        assert found.table.select("split", "label", "camera").rows() == [
            ("train", "0002", "0"),
            ("query", "0001", "0"),
            ("gallery", "0001", "1"),
        ]


def test_the_boxes_of_cuhk03_are_not_guessed(cuhk03: Path) -> None:
    with pytest.raises(UsageError, match="Choose one with --boxes"):
        read("cuhk03", cuhk03)
    with pytest.raises(UsageError, match="'drawn' is neither 'detected' nor 'labeled'"):
        read("cuhk03", cuhk03, boxes="drawn")
    (cuhk03 / "labeled").rename(cuhk03 / "elsewhere")
    assert read("cuhk03", cuhk03).root == cuhk03 / "detected"
