"""Street2Shop as published."""

import json
from pathlib import Path
from typing import Any

import pytest
from photos import write_photo

from perisphere.catalog.readers import read
from perisphere.errors import PerisphereError

Items = list[dict[str, Any]]
BOX = {"left": 3.7, "top": 5, "width": 20.2, "height": 10}


def item(photo: int, product: int, bbox: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"photo": photo, "product": product} | ({"bbox": bbox} if bbox else {})


DRESSES = {
    "train_pairs": [item(1, 70, BOX), item(2, 50, BOX)],
    "test_pairs": [item(3, 60, BOX), item(3, 999, BOX)],
    "retrieval": [item(4, 70), item(5, 70), item(6, 60)],
}
BAGS = {
    "train_pairs": [item(1, 70, {**BOX, "left": 30})],
    "test_pairs": [item(7, 80, BOX)],
    "retrieval": [item(8, 70), item(9, 80), item(10, 90)],
}


def write_street2shop(root: Path) -> Path:
    (root / "meta/json").mkdir(parents=True)
    for category, lists in (("dresses", DRESSES), ("bags", BAGS)):
        for kind, items in lists.items():
            write(root, kind, category, items)
    for photo in range(1, 11):
        write_photo(root / f"images/{photo:09d}.{'png' if photo == 9 else 'jpg'}", photo, 60, 40)
    return root


def write(root: Path, kind: str, category: str, items: object) -> None:
    (root / f"meta/json/{kind}_{category}.json").write_text(json.dumps(items))


@pytest.fixture
def street2shop(tmp_path: Path) -> Path:
    return write_street2shop(tmp_path)


def test_lists_become_splits_as_published(street2shop: Path) -> None:
    found = read("street2shop", street2shop, strict=True)
    assert found.root == street2shop / "images"
    assert found.table.select("path", "split", "label", "camera", "domain").rows() == [
        ("000000001.jpg", "train", "0", "0", "user"),
        ("000000008.jpg", "train", "0", "0", "shop"),
        ("000000007.jpg", "query", "1", "0", "user"),
        ("000000009.png", "gallery", "1", "1", "shop"),
        ("000000010.jpg", "gallery", "2", "1", "shop"),
        ("000000001.jpg", "train", "5", "0", "user"),
        ("000000004.jpg", "train", "5", "0", "shop"),
        ("000000005.jpg", "train", "5", "0", "shop"),
        ("000000003.jpg", "query", "4", "0", "user"),
        ("000000006.jpg", "gallery", "4", "1", "shop"),
    ]
    assert found.table["box"].to_list()[0] == [30, 5, 50, 15]
    assert found.table["box"].to_list()[5] == [3, 5, 23, 15]
    assert found.table["box"].to_list()[1] is None
    assert found.table["categories"].to_list() == [["bags"]] * 5 + [["dresses"]] * 5
    assert {(entry.path, entry.group) for entry in found.skipped} == {
        ("000000002.jpg", "its pair_id has one training photo"),
        ("000000003.jpg", "its pair_id has no shop photo in the gallery"),
    }


def test_photos_that_lie_elsewhere(street2shop: Path) -> None:
    (street2shop / "images").rename(street2shop / "photos")
    with pytest.raises(PerisphereError, match="--images"):
        read("street2shop", street2shop)
    assert len(read("street2shop", street2shop, images=street2shop / "photos")) == 10
    with pytest.raises(PerisphereError, match="nowhere: holds no folder of images"):
        read("street2shop", street2shop, images=street2shop / "nowhere")


def test_of_two_folders_of_photos_none_is_guessed(street2shop: Path) -> None:
    (street2shop / "images_jpg").mkdir()
    with pytest.raises(PerisphereError, match="both images and images_jpg"):
        read("street2shop", street2shop)
    (street2shop / "images_jpg").rmdir()
    (street2shop / "images").rename(street2shop / "images_jpg")
    assert len(read("street2shop", street2shop)) == 10


@pytest.mark.parametrize(
    ("entry", "path", "reason"),
    [
        (item(77, 90), "bags: photo 000000077", "annotation without its image"),
        (item(10, 90, {**BOX, "width": 0.5}), "000000010.jpg", "box without an area"),
        (item(10, 90, {**BOX, "left": 60}), "000000010.jpg", "box outside the image"),
        (item(10, 90, {"left": 1}), "000000010.jpg", "bbox has not left, top, width and height"),
        (
            {"photo": "10", "product": 90},
            "retrieval_bags.json: entry 3",
            "photo or product is no whole number, or bbox no object",
        ),
        (
            {"photo": 10, "product": 90, "bbox": 3},
            "retrieval_bags.json: entry 3",
            "photo or product is no whole number, or bbox no object",
        ),
    ],
)
def test_an_entry_that_cannot_be_used_is_counted(
    entry: dict[str, Any], path: str, reason: str, street2shop: Path
) -> None:
    items: Items = [*BAGS["retrieval"], entry]
    write(street2shop, "retrieval", "bags", items)
    found = read("street2shop", street2shop)
    assert len(found) == 10
    assert (path, reason) in [(skipped.path, skipped.group) for skipped in found.skipped]
    with pytest.raises(PerisphereError):
        read("street2shop", street2shop, strict=True)


def test_a_missing_list_is_named(street2shop: Path) -> None:
    (street2shop / "meta/json/test_pairs_bags.json").unlink()
    with pytest.raises(PerisphereError, match=r"test_pairs_bags\.json: missing"):
        read("street2shop", street2shop)


@pytest.mark.parametrize(("text", "complaint"), [("{", "no JSON"), ("{}", "no list"), ("[1]", "no list")])
def test_a_damaged_list_is_named(text: str, complaint: str, street2shop: Path) -> None:
    (street2shop / "meta/json/train_pairs_bags.json").write_text(text)
    with pytest.raises(PerisphereError, match=f"train_pairs_bags.json: .*{complaint}"):
        read("street2shop", street2shop)
