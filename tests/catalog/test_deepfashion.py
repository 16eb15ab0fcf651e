"""DeepFashion (consumer-to-shop) as published."""

from pathlib import Path

import numpy as np
import pytest
from photos import write_photo
from PIL import Image

from perisphere.catalog import Skipped
from perisphere.catalog.crops import Style, crop
from perisphere.catalog.readers import read
from perisphere.errors import PerisphereError

# (item, category, part, photos: name, clothes type, source type)
ITEMS = [
    ("id_00000001", "CLOTHING/Blouse", "train", [("comsumer_01", 1, 2), ("shop_01", 1, 1)]),
    ("id_00000002", "DRESSES/Dress", "test", [("comsumer_01", 3, 2), ("shop_01", 3, 1)]),
    ("id_00000003", "CLOTHING/Summer_Wear", "val", [("comsumer_01", 1, 2), ("shop_01", 1, 1)]),
    ("id_00000004", "TROUSERS/Pants", "train", [("shop_01", 2, 1)]),
    ("id_00000005", "TROUSERS/Pants", "test", [("comsumer_01", 2, 2)]),
]


def write_deepfashion(root: Path) -> Path:
    pairs: list[str] = []
    boxes: list[str] = []
    for item, category, part, photos in ITEMS:
        paths = [f"img/{category}/{item}/{name}.jpg" for name, _, _ in photos]
        pairs.append(f"{paths[0]:60} {paths[-1]:60} {item} {part}")
        for path, (_, clothes, source) in zip(paths, photos, strict=True):
            write_photo(root / path, len(boxes), 30, 40)
            boxes.append(f"{path:60} {clothes} {source} 003 005 020 030")
    (root / "Anno").mkdir()
    (root / "Eval").mkdir()
    write_table(root / "Eval/list_eval_partition.txt", pairs)
    write_table(root / "Anno/list_bbox_consumer2shop.txt", boxes)
    return root


def write_table(file: Path, lines: list[str]) -> None:
    head = "image_pair_name_1 image_pair_name_2 item_id evaluation_status"
    file.write_text("\n".join([str(len(lines)), head, *lines]) + "\n")


def add_line(file: Path, line: str) -> None:
    lines = file.read_text().splitlines()
    write_table(file, [*lines[2:], line])


@pytest.fixture
def deepfashion(tmp_path: Path) -> Path:
    return write_deepfashion(tmp_path)


def test_parts_become_splits_as_published(deepfashion: Path) -> None:
    found = read("deepfashion", deepfashion, strict=True)
    assert found.table.select("path", "split", "label", "camera", "domain").rows() == [
        ("img/CLOTHING/Blouse/id_00000001/comsumer_01.jpg", "train", "1", "0", "user"),
        ("img/CLOTHING/Blouse/id_00000001/shop_01.jpg", "train", "1", "0", "shop"),
        ("img/DRESSES/Dress/id_00000002/comsumer_01.jpg", "query", "2", "0", "user"),
        ("img/DRESSES/Dress/id_00000002/shop_01.jpg", "gallery", "2", "1", "shop"),
        ("img/CLOTHING/Summer_Wear/id_00000003/shop_01.jpg", "gallery", "3", "1", "shop"),
    ]
    assert found.table["box"].to_list() == [[3, 5, 20, 30]] * 5
    assert found.table["categories"].to_list()[:3] == [["upper-body"], ["upper-body"], ["full-body"]]
    assert {item.path: item.group for item in found.skipped} == {
        "img/CLOTHING/Summer_Wear/id_00000003/comsumer_01.jpg": (
            "user photo of the validation part, which the published protocol leaves out"
        ),
        "img/TROUSERS/Pants/id_00000004/shop_01.jpg": "its pair_id has one training photo",
        "img/TROUSERS/Pants/id_00000005/comsumer_01.jpg": "its pair_id has no shop photo in the gallery",
    }


@pytest.mark.parametrize("folder", ["img_low_res", "img"])
def test_boxes_grow_with_the_photos(folder: str, deepfashion: Path) -> None:
    for path in sorted((deepfashion / "img").rglob("*.jpg")):
        place = deepfashion / "img_highres" / path.relative_to(deepfashion / "img")
        write_photo(place, 0, 300, 400)
    wear = deepfashion / "img_highres/CLOTHING/Summer_Wear"
    wear.rename(wear.with_name("Summer_Suit"))
    (deepfashion / "img").rename(deepfashion / folder)
    found = read("deepfashion", deepfashion, high_res=True, strict=True)
    assert found.table["box"].to_list() == [[30, 50, 200, 300]] * 5
    assert found.table["width"].to_list() == [300] * 5
    assert found.table["path"].to_list()[-1] == "img_highres/CLOTHING/Summer_Suit/id_00000003/shop_01.jpg"


def test_a_small_photo_that_is_missing_leaves_its_box_unknown(deepfashion: Path) -> None:
    for path in sorted((deepfashion / "img").rglob("*.jpg")):
        write_photo(deepfashion / "img_highres" / path.relative_to(deepfashion / "img"), 0, 60, 80)
    (deepfashion / "img/DRESSES/Dress/id_00000002/shop_01.jpg").unlink()
    found = read("deepfashion", deepfashion, high_res=True)
    reasons = {item.path: item.reason for item in found.skipped}
    assert "cannot be read" in reasons["img/DRESSES/Dress/id_00000002/shop_01.jpg"]
    assert "no shop photo" in reasons["img_highres/DRESSES/Dress/id_00000002/comsumer_01.jpg"]


def test_photos_as_their_archive_is_unpacked(deepfashion: Path) -> None:
    (deepfashion / "Img").mkdir()
    (deepfashion / "img").rename(deepfashion / "Img/img")
    found = read("deepfashion", deepfashion, strict=True)
    assert found.table["path"][0] == "Img/img/CLOTHING/Blouse/id_00000001/comsumer_01.jpg"


def test_the_conversion_from_the_original_files(deepfashion: Path, tmp_path: Path) -> None:
    """Boxes are cut as corners: taken for a width and a height they would show other pixels."""
    pixels = np.zeros((40, 30, 3), np.uint8)
    pixels[5:30, 3:20] = 255
    for path in sorted((deepfashion / "img").rglob("*.jpg")):
        Image.fromarray(pixels).save(path, quality=100)
    found = read("deepfashion", deepfashion)
    made = crop(found, Style(8, 8, fit="squash"), tmp_path / "crops").catalog
    columns = ("split", "label", "camera", "domain", "categories")
    assert made.table.select(columns).rows() == found.table.select(columns).rows()
    for path in made.paths():
        assert np.asarray(Image.open(path)).min() > 200


PLACE = "img/DRESSES/Dress/id_00000002/extra.jpg"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"{PLACE} 3 1 1 2 3", "line has not 7 words"),
        (f"{PLACE} 3 9 1 2 3 4", "clothes type or source type is unknown"),
        (f"{PLACE} 7 1 1 2 3 4", "clothes type or source type is unknown"),
        (f"{PLACE} 3 1 1 2 x 4", "box is no four whole numbers"),
        (f"{PLACE} 3 1 3 2 3 4", "box without an area"),
        (f"{PLACE} 3 1 30 2 99 40", "box outside the image"),
        ("img/DRESSES/Dress/extra.jpg 3 1 1 2 3 4", "path is not img/CATEGORY/.../id_NUMBER/IMAGE"),
        ("../id_00000002/extra.jpg 3 1 1 2 3 4", "path is not img/CATEGORY/.../id_NUMBER/IMAGE"),
        ("img/DRESSES/Dress/id_00000009/extra.jpg 3 1 1 2 3 4", "its item is in no part"),
    ],
)
def test_a_line_that_cannot_be_used_is_counted(line: str, reason: str, deepfashion: Path) -> None:
    write_photo(deepfashion / PLACE, 0, 30, 40)
    add_line(deepfashion / "Anno/list_bbox_consumer2shop.txt", line)
    found = read("deepfashion", deepfashion)
    assert len(found) == 5
    assert reason in [item.group for item in found.skipped]
    with pytest.raises(PerisphereError):
        read("deepfashion", deepfashion, strict=True)


def test_an_item_of_two_parts_is_in_none(deepfashion: Path) -> None:
    add_line(deepfashion / "Eval/list_eval_partition.txt", "a b id_00000002 train")
    add_line(deepfashion / "Eval/list_eval_partition.txt", "a b id_00000001 later")
    found = read("deepfashion", deepfashion)
    assert found.select(split="gallery").labels() == ["3"]
    assert Skipped("a", "its part is not train, val or test") in found.skipped
    assert [item.reason for item in found.skipped].count("its item is in more than one part") == 2


def test_a_list_of_another_length_is_remarked(deepfashion: Path) -> None:
    file = deepfashion / "Eval/list_eval_partition.txt"
    file.write_text(file.read_text().replace("5\n", "9\n", 1))
    remarks = read("deepfashion", deepfashion).source["remarks"]
    assert remarks == {
        "list of another length than it announces": ["list_eval_partition.txt (9 announced, 5 there)"]
    }


@pytest.mark.parametrize("name", ["Anno/list_bbox_consumer2shop.txt", "Eval/list_eval_partition.txt", "img"])
def test_what_is_missing_is_named(name: str, deepfashion: Path) -> None:
    (deepfashion / name).rename(deepfashion / "elsewhere")
    with pytest.raises(PerisphereError, match=name):
        read("deepfashion", deepfashion)


def test_a_list_of_another_form_is_an_error(deepfashion: Path) -> None:
    (deepfashion / "Eval/list_eval_partition.txt").write_text("a b c d\n")
    with pytest.raises(PerisphereError, match="does not begin with a count"):
        read("deepfashion", deepfashion)
