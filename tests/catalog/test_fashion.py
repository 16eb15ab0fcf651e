"""Photos of users and shops as three COCO files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from photos import write_photo

from perisphere.catalog import Catalog, Skipped
from perisphere.catalog.readers import read
from perisphere.catalog.readers.pairs import NO_SHOP
from perisphere.catalog.readers.read import BOX_CUT
from perisphere.errors import PerisphereError

Content = dict[str, Any]
CATEGORIES = [{"id": 3, "name": "dresses"}]


def write_split(root: Path, split: str, pairs: list[tuple[int, str]], file: Path | None = None) -> Path:
    """Write a photo of 48 x 32 pixels and an annotation for each (pair_id, source)."""
    images, annotations = [], []
    for id, (pair, source) in enumerate(pairs, 10):
        name = f"{id:04d}.jpg"
        write_photo(root / split / name, id)
        images.append({"id": id, "file_name": name, "width": 48, "height": 32, "license": 0})
        annotation = {"id": id, "image_id": id, "pair_id": pair, "source": source, "bbox": [4.6, 2, 20, 25.9]}
        annotations.append({**annotation, "category_id": 3, "segmentation": [[1, 2, 3]], "iscrowd": 0})
    content = {"info": {}, "images": images, "annotations": annotations, "categories": CATEGORIES}
    file = file or root / f"{split}_reid_cropped_320_320.json"
    file.write_text(json.dumps(content))
    return file


def write_fashion(root: Path) -> Path:
    write_split(root, "train", [(0, "user"), (0, "shop"), (5, "shop"), (6, "user"), (6, "user")])
    write_split(root, "query", [(1, "user"), (2, "user")])
    write_split(root, "gallery", [(1, "shop"), (1, "shop"), (9, "shop")])
    return root


def change(root: Path, split: str, mend: Callable[[Content], object]) -> None:
    file = root / f"{split}_reid_cropped_320_320.json"
    content = json.loads(file.read_text())
    mend(content)
    file.write_text(json.dumps(content))


@pytest.fixture
def fashion(tmp_path: Path) -> Path:
    return write_fashion(tmp_path)


def test_a_row_an_annotation(fashion: Path) -> None:
    found = read("fashion", fashion, strict=True)
    assert found.table.select("path", "split", "label", "camera", "domain").rows() == [
        ("train/0010.jpg", "train", "0", "0", "user"),
        ("train/0011.jpg", "train", "0", "0", "shop"),
        ("train/0013.jpg", "train", "6", "0", "user"),
        ("train/0014.jpg", "train", "6", "0", "user"),
        ("query/0010.jpg", "query", "1", "0", "user"),
        ("gallery/0010.jpg", "gallery", "1", "1", "shop"),
        ("gallery/0011.jpg", "gallery", "1", "1", "shop"),
        ("gallery/0012.jpg", "gallery", "9", "1", "shop"),
    ]
    assert found.table["box"].to_list() == [[4, 2, 24, 27]] * 8
    assert found.table["categories"].to_list() == [["dresses"]] * 8


def test_what_has_nothing_to_match_is_left_out_by_name(fashion: Path) -> None:
    found = read("fashion", fashion)
    single, unmatched = "its pair_id has one training photo", "its pair_id has no shop photo in the gallery"
    assert found.skipped == [
        Skipped("query/0011.jpg", f"{unmatched} (2)", unmatched),
        Skipped("train/0012.jpg", f"{single} (5)", single),
    ]
    assert found.source["remarks"] == {NO_SHOP: ["6"]}


def test_a_photo_that_cannot_be_used_matches_nothing(fashion: Path) -> None:
    (fashion / "train/0011.jpg").write_bytes(b"")
    for name in ("0010", "0011"):
        (fashion / f"gallery/{name}.jpg").unlink()
    found = read("fashion", fashion)
    assert found.labels() == ["6", "6", "9"]
    groups = {item.path: item.group for item in found.skipped}
    assert groups["train/0010.jpg"] == "its pair_id has one training photo"
    assert groups["query/0010.jpg"] == "its pair_id has no shop photo in the gallery"


def test_remarks_stay_with_the_catalog(fashion: Path, tmp_path: Path) -> None:
    read("fashion", fashion, out=tmp_path / "catalog")
    assert Catalog.load(tmp_path / "catalog").source["remarks"] == {NO_SHOP: ["6"]}


@pytest.mark.parametrize("bbox", ["", [], None])
def test_no_box_is_the_whole_photo(bbox: object, fashion: Path) -> None:
    change(fashion, "query", lambda content: content["annotations"][0].update(bbox=bbox))
    found = read("fashion", fashion).select(split="query")
    assert found.table["box"].to_list() == [None]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"bbox": [48, 0, 9, 9]}, "box outside the image"),
        ({"bbox": [-20, 0, 20, 9]}, "box outside the image"),
        ({"bbox": [0, 0, 0.9, 9]}, "box without an area"),
        ({"bbox": [9, 9, -4, 4]}, "box without an area"),
        ({"bbox": [0, 0, 9]}, "bbox is not [left, top, width, height]"),
        ({"bbox": [0, 0, 9, "9"]}, "bbox is not [left, top, width, height]"),
        ({"bbox": [0, 0, 9, float("nan")]}, "bbox is not [left, top, width, height]"),
        ({"pair_id": -1}, "pair_id is no whole number from 0"),
        ({"pair_id": "1"}, "pair_id is no whole number from 0"),
        ({"pair_id": True}, "pair_id is no whole number from 0"),
        ({"source": "street"}, "source is neither 'user' nor 'shop'"),
        ({"source": None}, "source is neither 'user' nor 'shop'"),
    ],
)
def test_an_annotation_that_cannot_be_used_is_counted(wrong: Content, reason: str, fashion: Path) -> None:
    change(fashion, "gallery", lambda content: content["annotations"][2].update(wrong))
    found = read("fashion", fashion)
    assert len(found) == 7
    assert [item.group for item in found.skipped if item.path == "gallery/0012.jpg"] == [reason]
    with pytest.raises(PerisphereError, match="gallery/0012"):
        read("fashion", fashion, strict=True)


def test_a_box_that_reaches_over_the_edge_is_cut_there(fashion: Path) -> None:
    change(fashion, "gallery", lambda content: content["annotations"][2].update(bbox=[-3, 20, 60, 60]))
    found = read("fashion", fashion)
    assert found.table["box"].to_list()[-1] == [0, 20, 48, 32]
    assert found.source["remarks"][BOX_CUT] == ["gallery/0012.jpg"]


def test_images_and_annotations_without_each_other_are_counted(fashion: Path) -> None:
    def part(content: Content) -> None:
        content["annotations"][0]["image_id"] = 77
        del content["annotations"][1]

    change(fashion, "gallery", part)
    (fashion / "gallery/0012.jpg").unlink()
    skipped = {item.path: item.reason for item in read("fashion", fashion).skipped if "gall" in item.path}
    assert skipped.pop("gallery/0012.jpg").startswith("cannot be read")
    assert skipped == {
        "gallery_reid_cropped_320_320.json: annotation 10": "annotation without its image",
        "gallery/0010.jpg": "image without an annotation",
        "gallery/0011.jpg": "image without an annotation",
    }


def test_an_image_that_leads_elsewhere_is_not_opened(fashion: Path) -> None:
    change(fashion, "gallery", lambda content: content["images"][2].update(file_name="../train/0010.jpg"))
    reasons = [item.reason for item in read("fashion", fashion).skipped]
    assert "leads out of the folder of photos" in reasons


def test_two_things_of_one_photo_are_two_rows(fashion: Path) -> None:
    def add(content: Content) -> None:
        content["annotations"].append(
            {**content["annotations"][0], "id": 99, "pair_id": 4, "bbox": [0, 0, 9, 9]}
        )

    change(fashion, "gallery", add)
    rows = read("fashion", fashion).table.select("path", "label", "box").rows()
    assert rows[-1] == ("gallery/0010.jpg", "4", [0, 0, 9, 9])


def test_three_files_that_lie_elsewhere(fashion: Path, tmp_path: Path) -> None:
    files: dict[str, Any] = {}
    for split in ("train", "query", "gallery"):
        files[split] = tmp_path / f"training-{split}.json"
        (fashion / f"{split}_reid_cropped_320_320.json").rename(files[split])
    assert len(read("fashion", fashion, **files)) == 8


def test_of_several_files_one_has_to_be_named(fashion: Path) -> None:
    (fashion / "query_other.json").write_text("{}")
    with pytest.raises(PerisphereError, match=r"several query\*\.json. Name the file with --query"):
        read("fashion", fashion)
    assert len(read("fashion", fashion, query=fashion / "query_reid_cropped_320_320.json")) == 8
    (fashion / "gallery_reid_cropped_320_320.json").unlink()
    with pytest.raises(PerisphereError, match=r"no gallery\*\.json"):
        read("fashion", fashion, query=fashion / "query_reid_cropped_320_320.json")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "no JSON"),
        ("[]", "holds no list 'images'"),
        ('{"images": []}', "holds no list 'annotations'"),
        ('{"images": [3], "annotations": []}', "holds no list 'images'"),
        ('{"images": [{"id": 3}], "annotations": []}', "no id or no file_name"),
        ('{"images": [{"file_name": "a"}], "annotations": []}', "no id or no file_name"),
        (
            '{"images": [{"id": 3, "file_name": "a"}, {"id": 3, "file_name": "b"}], "annotations": []}',
            "id 3 is there twice",
        ),
    ],
)
def test_a_damaged_file_is_an_error_that_names_it(text: str, complaint: str, fashion: Path) -> None:
    (fashion / "query_reid_cropped_320_320.json").write_text(text)
    with pytest.raises(PerisphereError, match=f"query_reid_cropped_320_320.json: .*{complaint}"):
        read("fashion", fashion)


def test_many_pairs_take_time_that_grows_with_their_number(tmp_path: Path) -> None:
    """A search through all annotations for each pair_id would take minutes here."""
    count = 30_000
    for split, size in (("train", count), ("query", count), ("gallery", 1)):
        write_photo(tmp_path / split / "00.jpg", 0, 8, 8)
        images = [{"id": k, "file_name": "00.jpg"} for k in range(size)]
        pairs = [{"image_id": k, "pair_id": k, "source": "user"} for k in range(size)]
        content = json.dumps({"images": images, "annotations": pairs})
        (tmp_path / f"{split}.json").write_text(content)
    change_source = (tmp_path / "gallery.json").read_text().replace("user", "shop")
    (tmp_path / "gallery.json").write_text(change_source)
    found = read("fashion", tmp_path)
    assert len(found) == 2
    assert len(found.skipped) == 2 * count - 1
