"""The published tree of WikiScenes, its lists and its keypoints."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from photos import write_photo

from perisphere.catalog import Catalog
from perisphere.catalog.readers import category_tree, keypoint_file, read
from perisphere.catalog.readers.wikiscenes_lists import parse
from perisphere.catalog.shared_points import shared_pairs

TOP = "WikiScenes/cathedrals"


def category(folder: Path, pairs: dict[str, str], **captions: str) -> None:
    """Write a folder's category.json, whose pictures are written too."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {}
    for number, (name, caption) in enumerate(captions.items()):
        name = f"{name}.jpg"
        if not (folder / "pictures" / name).exists():
            write_photo(folder / "pictures" / name, number, 40 + 10 * number, 30)
        pictures[name] = {"caption": caption, "url": f"https://c/{name}", "properties": ["en"]}
    content = {"max_index": len(pairs), "pairs": pairs, "pictures": pictures}
    (folder / "category.json").write_text(json.dumps(content), "utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    top = tmp_path / "root" / TOP
    category(top, {"milano duomo milan": "0", "catedral de sevilla": "10", "köln dom": "2"})
    category(top / "0", {"Interior of the Duomo": "1"}, Whole="Il Duomo")
    category(top / "0/1", {}, Nave="身廊: the nave", Organ="")
    category(top / "2", {}, Whole="Südturm")
    category(top / "10", {}, Door="Puerta")
    data = tmp_path / "root/data"
    data.mkdir()
    (data / "train_2.txt").write_text(
        f"{TOP}/0/1/pictures/Nave.jpg:['nave', 'choir']:身廊 the na:Interior of the Duomo\n"
        f"{TOP}/0/pictures/Whole.jpg:['facade']::\n"
    )
    (data / "val_easy_2.txt").write_text(f"{TOP}/0/1/pictures/Organ.jpg:['organ']:Organo:Interior")
    (data / "val_2.txt").write_text(f"{TOP}/2/pictures/Whole.jpg:['tower', 'tower']:Süd:\n")
    points = {
        "0/1/pictures/Nave.jpg": {"7": [0.5, 0.25], "8": [0, 1]},
        "2/pictures/Whole.jpg": {"7": [1.0, 0]},
    }
    (tmp_path / "root/correspondence.json").write_text(json.dumps(points))
    return tmp_path / "root"


def rows(found: Catalog) -> dict[str, dict[str, Any]]:
    return {row["path"].removeprefix(f"{TOP}/"): row for row in found.table.iter_rows(named=True)}


def test_tree_lists_and_keypoints(root: Path, tmp_path: Path) -> None:
    found = read("wikiscenes", root, out=tmp_path / "catalog")
    at = rows(found)
    names = [
        "0/pictures/Whole",
        "0/1/pictures/Nave",
        "0/1/pictures/Organ",
        "2/pictures/Whole",
        "10/pictures/Door",
    ]
    assert list(at) == [f"{name}.jpg" for name in names]
    nave = at["0/1/pictures/Nave.jpg"]
    assert (nave["label"], nave["split"]) == ("milano duomo milan", "train")
    assert nave["categories"] == ["milano duomo milan", "Interior of the Duomo"]
    assert nave["concepts"] == ["nave", "choir"]
    assert nave["caption"] == "身廊: the nave"
    assert nave["url"] == "https://c/Nave.jpg"
    assert at["0/1/pictures/Organ.jpg"]["caption"] == "Organo"  # the tree has none, the list has one
    assert at["0/1/pictures/Organ.jpg"]["split"] == "val"
    assert at["2/pictures/Whole.jpg"]["split"] == "test"
    assert at["2/pictures/Whole.jpg"]["concepts"] == ["tower"]
    assert (at["10/pictures/Door.jpg"]["split"], at["10/pictures/Door.jpg"]["concepts"]) == (None, [])
    assert found.classes == {"0": "milano duomo milan", "2": "köln dom", "10": "catedral de sevilla"}
    assert found.keypoints is not None
    assert found.keypoints.rows() == [(1, 7, 20.0, 7.5), (1, 8, 0.0, 30.0), (3, 7, 40.0, 0.0)]
    assert found.skipped == []
    assert "remarks" not in found.source


def test_the_same_without_a_folder_to_write_to(root: Path, tmp_path: Path) -> None:
    kept, held = read("wikiscenes", root, out=tmp_path / "catalog"), read("wikiscenes", root)
    assert held.table.equals(kept.table)
    assert held.keypoints is not None
    assert held.keypoints.equals(kept.keypoints)
    files = {"catalog.json", "images.parquet", "keypoints.parquet", "classes.txt"}
    assert {file.name for file in (tmp_path / "catalog").iterdir()} == files


def test_what_is_broken_is_counted_and_named(root: Path) -> None:
    top = root / TOP
    (top / "0/pictures/Whole.jpg").unlink()
    (top / "0/1/pictures/Organ.jpg").write_text("not a photo")
    (top / "2/category.json").write_text('{"pairs": {')
    write_photo(top / "7/pictures/new.jpg")
    (top / "10/pictures/Video.ogg").write_bytes(b"OggS")
    content = json.loads((top / "10/category.json").read_text())
    content["pairs"] = {"Gone": "4", "Odd": "../0"}
    content["pictures"] |= {"../../x.jpg": {}, "flat.jpg": 3, "Video.ogg": {"caption": "v"}}
    (top / "10/category.json").write_text(json.dumps(content))
    found = read("wikiscenes", root)
    reasons = {item.path.removeprefix(f"{TOP}/"): item.reason for item in found.skipped}
    assert len(found.skipped) == len(reasons) + 1  # two of 10/category.json
    assert reasons.pop("2/category.json").startswith("broken category.json (Expecting")
    assert reasons.pop("0/1/pictures/Organ.jpg").startswith("not a JPEG")
    assert reasons.pop("10/pictures/Video.ogg").startswith("not a JPEG")
    assert reasons == {
        "0/pictures/Whole.jpg": "picture is missing",
        "10/4": "category without its folder",
        "10/category.json": "2 x entry of pictures that cannot be used",
        "7/category.json": "no category.json in the folder",
    }
    assert sorted(rows(found)) == [
        "0/1/pictures/Nave.jpg",
        "10/pictures/Door.jpg",
        "2/pictures/Whole.jpg",
        "7/pictures/new.jpg",
    ]
    assert rows(found)["7/pictures/new.jpg"]["label"] == "7"
    assert rows(found)["2/pictures/Whole.jpg"]["label"] == "köln dom"
    remarks = found.source["remarks"]
    assert remarks[category_tree.UNNAMED] == [f"{TOP}/7"]
    assert remarks[category_tree.UNDESCRIBED] == [f"{TOP}/2/pictures/Whole.jpg", f"{TOP}/7/pictures/new.jpg"]


def golden(shared: Path) -> dict[str, Any]:
    entries = json.loads((shared / "golden/wikiscenes.json").read_text("utf-8"))["pair_graph"]
    assert len(entries) == 1
    return entries[0]


def test_published_lines(shared: Path) -> None:
    case = golden(shared)
    photos = [parse(line) for line in case["inputs"]["list_rows"]]
    assert [list(photo.labels) for photo in photos if photo] == case["outputs"]["labels"]
    assert [photo.caption for photo in photos if photo] == case["outputs"]["captions"]
    assert [photo.categories for photo in photos if photo] == case["outputs"]["categories"]


def test_published_keypoints_and_neighbours(shared: Path, tmp_path: Path) -> None:
    case = golden(shared)
    lines = case["inputs"]["list_rows"]
    paths = [line.split(":")[0] for line in lines]
    for number, path in enumerate(paths):
        write_photo(tmp_path / path, number, 10 + number, 20)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train_x.txt").write_text("\n".join(lines), "utf-8")
    (tmp_path / "correspondence.json").write_text(json.dumps(case["inputs"]["correspondence"]))
    found = read("wikiscenes", tmp_path)
    at = {row["path"]: row for row in found.table.iter_rows(named=True)}
    assert found.source["remarks"][keypoint_file.STRANGE] == ["77/pictures/z.jpg"]
    assert found.keypoints is not None
    for path, expected in zip(paths, case["outputs"]["keypoints_row_col"], strict=True):
        row = at[path]
        mine = found.keypoints.filter(pl.col("image") == row["id"])
        places = {
            str(point): [y / row["height"], x / row["width"]]
            for point, x, y in mine.select("point", "x", "y").iter_rows()
        }
        assert places.keys() == (expected or {}).keys()
        for point, place in (expected or {}).items():
            assert places[point] == pytest.approx(place, abs=1e-6)
    ids = [at[path]["id"] for path in paths]
    shown = found.keypoints.group_by("point").agg("image")
    index = {str(point): sorted(ids.index(image) for image in images) for point, images in shown.iter_rows()}
    assert index == case["outputs"]["index"]
    graph = shared_pairs(found.keypoints, ids, 10, published=True)
    neighbours = {str(row): graph.of(row).tolist() for row in range(len(ids)) if len(graph.of(row))}
    assert neighbours == case["outputs"]["neighbours"]
    assert shared_pairs(found.keypoints, ids, 10).pairs().tolist() == [[0, 1]]
