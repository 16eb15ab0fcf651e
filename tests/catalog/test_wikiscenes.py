"""The published tree of WikiScenes, its lists and its keypoints."""

import errno
import gzip
import json
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from photos import write_photo
from PIL import Image

from perisphere.catalog import Catalog
from perisphere.catalog.readers import category_tree, keypoint_file, read, wikiscenes
from perisphere.catalog.readers.wikiscenes_lists import ListedPhoto, category_names, parse
from perisphere.catalog.shared_points import shared_pairs
from perisphere.errors import PerisphereError, UsageError

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
    assert found.properties is not None
    assert found.properties.rows() == [(number, '["en"]') for number in range(5)]
    assert found.skipped == []
    assert "remarks" not in found.source


def test_the_same_without_a_folder_to_write_to(root: Path, tmp_path: Path) -> None:
    kept, held = read("wikiscenes", root, out=tmp_path / "catalog"), read("wikiscenes", root)
    assert held.table.equals(kept.table)
    assert held.keypoints is not None
    assert held.keypoints.equals(kept.keypoints)
    files = {"catalog.json", "images.parquet", "keypoints.parquet", "properties.parquet", "classes.txt"}
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


def test_published_lists_alone(shared: Path) -> None:
    found = read("wikiscenes", shared / "data/wikiscenes", without_photos=True)
    table = found.table
    assert table["split"].value_counts().sort("count").rows() == [
        ("val", 964),
        ("test", 1939),
        ("train", 8674),
    ]
    assert found.skipped == []
    train = table.filter(pl.col("split") == "train")
    assert train["label"].n_unique() == 84
    assert train["caption"].null_count() == 114
    primary = train["concepts"].list.first().value_counts()
    counts = dict(primary.iter_rows())
    assert (counts["facade"], counts["window"], counts["statue"]) == (676, 842, 944)
    depth = table["path"].str.split("/").list.len() - 4  # without the root, the kind, pictures and the name
    assert table.filter(pl.col("categories").list.len() != depth).is_empty()
    at = table.filter(pl.col("path").str.contains("98/0/3/0/0/5/0/pictures/Paris_Notre_Dame_de_Paris_01"))
    assert at["categories"].item().to_list()[-2:] == [
        "Saint-Marcel chapel, Notre-Dame de Paris",
        "Models of Notre-Dame de Paris (Saint-Marcel chapel, Notre-Dame de Paris)",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "a/b/c/pictures/x.jpg:['nave']:caption",
        "a/b/c/pictures/x.jpg:['nave']:a:b:c",
        "../b/c/pictures/x.jpg:['nave']:caption:x",
        "/a/b/c/x.jpg:['nave']:caption:x",
        "a/b/x.jpg:['nave']:caption:x",
    ],
)
def test_lines_of_another_form(line: str) -> None:
    assert parse(line) is None


WORDS = st.text("aZ é身, '[]\"\t_;", max_size=12)


@given(st.lists(st.sampled_from(["nave", "choir", "rose-window"]), max_size=3), WORDS, WORDS)
def test_lines_say_what_was_written(labels: list[str], caption: str, categories: str) -> None:
    photo = parse(f"W/c/4/1/pictures/x.jpg:{labels}:{caption}:{categories}", "train")
    assert photo is not None
    assert photo.labels == tuple(labels)
    assert (photo.caption, photo.categories, photo.folders) == (caption, categories, ("W/c/4/1",))


def test_lines_of_another_form_are_counted_and_named(root: Path) -> None:
    with (root / "data/train_2.txt").open("a", encoding="utf-8") as file:
        file.write("no row\n")
    found = read("wikiscenes", root)
    assert [(item.path, item.reason) for item in found.skipped] == [
        ("train_2.txt:3", "line is not PATH:[LABELS]:CAPTION:CATEGORIES")
    ]
    with pytest.raises(PerisphereError, match=r"train_2.txt:3: line is not PATH"):
        read("wikiscenes", root, strict=True)


def listed(path: str, categories: str) -> ListedPhoto:
    return ListedPhoto(f"W/c/4/{path}/pictures/x.jpg", (), "", categories)


def test_names_with_commas_are_taken_apart() -> None:
    names = category_names(
        [
            listed("0", "Portals, west and north"),  # no name begins with a small letter
            listed("0/1", "Portals, west and north, Door of Mary"),
            listed("1/0", "Details, Nave, Altar"),  # 1/1 tells where its first name ends
            listed("1/1", "Details, Nave, Organ"),
            listed("1", "Details, Nave"),
            listed("2/0", ""),
        ]
    )
    assert names == {
        "W/c/4/0": "Portals, west and north",
        "W/c/4/0/1": "Door of Mary",
        "W/c/4/1": "Details, Nave",
        "W/c/4/1/0": "Altar",
        "W/c/4/1/1": "Organ",
    }


def test_names_in_nfd_and_the_old_spelling_with_spaces(root: Path) -> None:
    folder = root / TOP / "2/pictures"
    name = "Südturm am Abend.jpg"
    (folder / "Whole.jpg").rename(folder / unicodedata.normalize("NFD", name))
    content = (root / TOP / "2/category.json").read_text("utf-8").replace("Whole.jpg", name.replace(" ", "_"))
    (root / TOP / "2/category.json").write_text(content, "utf-8")
    line = f"{TOP}/2/pictures/{name}:['tower']:a:b\n"
    (root / "data/val_2.txt").write_text(line, "utf-8")
    (root / "correspondence.json").write_text(json.dumps({f"2/pictures/{name}": {"1": [0, 0]}}))
    found = read("wikiscenes", root, strict=True)
    row = next(row for row in found.table.iter_rows(named=True) if row["label"] == "köln dom")
    assert row["path"] == f"{TOP}/2/pictures/{unicodedata.normalize('NFD', name)}"
    assert (root / row["path"]).is_file()
    assert (row["split"], row["caption"]) == ("test", "Südturm")
    assert len(found.source["remarks"][category_tree.RESPELLED]) == 2  # by the tree and by the list
    assert found.keypoint_count() == 1


def test_the_same_name_in_two_folders_is_two_photos_and_two_lists_one(root: Path) -> None:
    twice = (root / "data/train_2.txt").read_text("utf-8").splitlines()[0]
    (root / "data/val_2.txt").write_text(twice, "utf-8")
    found = read("wikiscenes", root)
    assert found.table["path"].str.ends_with("/Whole.jpg").sum() == 2
    assert rows(found)["0/1/pictures/Nave.jpg"]["split"] == "train"
    assert found.source["remarks"][wikiscenes.TWICE] == [f"{TOP}/0/1/pictures/Nave.jpg"]


def test_the_tree_without_its_photos(root: Path, tmp_path: Path) -> None:
    before = read("wikiscenes", root)
    for photo in root.rglob("*.jpg"):
        photo.unlink()
    found = read("wikiscenes", root, without_photos=True, out=tmp_path / "catalog")
    columns = ["path", "split", "label", "caption", "categories", "concepts", "url"]
    assert found.table.select(columns).equals(before.table.select(columns))
    assert found.table["width"].null_count() == len(found) == 5
    assert found.keypoint_count() == 0
    assert found.properties is not None
    assert found.properties.equals(before.properties)
    for name in ("correspondences", "colmap", "masks"):
        with pytest.raises(UsageError, match=f"leave {name} out"):
            read("wikiscenes", root, without_photos=True, **{name: root})


def test_masks_beside_the_tree(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    for name, size, value in (("0/1/pictures/Nave", (40, 30), 5), ("2/pictures/Whole", (30, 40), 6)):
        (folder / name).parent.mkdir(parents=True)
        Image.new("L", size, value).save(folder / f"{name}.png")
    found = read("wikiscenes", root, masks=folder, out=tmp_path / "catalog")
    assert found.mask_paths("concepts") == {1: folder / "0/1/pictures/Nave.png"}
    assert found.source["concepts"][4] == "nave"
    assert len(found) == 5
    assert [(item.path, item.group) for item in found.skipped] == [
        ("2/pictures/Whole.jpg", "mask cannot be used")
    ]
    with pytest.raises(PerisphereError, match="30 x 40 pixels where the photo has 40 x 30"):
        read("wikiscenes", root, masks=folder, strict=True)
    with pytest.raises(PerisphereError, match=r"holds no mask; that of 0/pictures/Whole\.jpg"):
        read("wikiscenes", root, masks=folder / "0")
    with pytest.raises(PerisphereError, match="no such folder of masks"):
        read("wikiscenes", root, masks=tmp_path / "nowhere")


def test_kinds(root: Path) -> None:
    category(root / "WikiScenes/mosques", {"kul sharif": "0"})
    category(root / "WikiScenes/mosques/0", {}, Dome="a dome")
    (root / "corr_mosques.json").write_text('{"0/pictures/Dome.jpg": {"3": [0.1, 0.1]}}')
    with pytest.raises(UsageError, match=r"holds cathedrals, mosques. Name one of them with --kind"):
        read("wikiscenes", root)
    with pytest.raises(PerisphereError, match=r"synagogues: no such folder .there is cathedrals, mosques"):
        read("wikiscenes", root, kind="synagogues")
    found = read("wikiscenes", root, kind="mosques", strict=True)
    assert found.table.select("path", "label").rows() == [
        ("WikiScenes/mosques/0/pictures/Dome.jpg", "kul sharif")
    ]
    assert found.keypoint_count() == 1


def test_lists_elsewhere(root: Path, tmp_path: Path) -> None:
    (root / "data").rename(tmp_path / "lists")
    for file in (tmp_path / "lists").iterdir():
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    assert read("wikiscenes", root).splits() == []
    assert read("wikiscenes", root, lists=tmp_path / "lists").splits() == ["train", "val", "test"]
    (tmp_path / "lists/train_again.txt").write_text("")
    with pytest.raises(PerisphereError, match=r"are both lists train\*; keep one"):
        read("wikiscenes", root, lists=tmp_path / "lists")
    with pytest.raises(PerisphereError, match="holds no list train"):
        read("wikiscenes", root, lists=root)
    with pytest.raises(PerisphereError, match="no such folder of lists"):
        read("wikiscenes", root, lists=tmp_path / "nowhere")


def test_packed_lists_that_are_broken(root: Path) -> None:
    whole = gzip.compress((root / "data/val_2.txt").read_bytes())
    (root / "data/val_2.txt").unlink()
    for content in (whole[:-9], b"no gzip", whole[:12] + b"\xff" * 20):
        (root / "data/val_2.txt.gz").write_bytes(content)
        with pytest.raises(PerisphereError, match=r"val_2.txt.gz: (cannot be read|not UTF-8)"):
            read("wikiscenes", root)


def test_links_that_lead_back(root: Path) -> None:
    (root / TOP / "0/1/9").symlink_to(root / TOP / "0")
    found = read("wikiscenes", root)
    assert len(found) == 5
    reasons = {item.path: item.reason for item in found.skipped}
    assert reasons[f"{TOP}/0/1/9"] == "link back into a folder above it"


@pytest.mark.parametrize("text", ["[" * 200_000, "[1]", '{"pairs": 3}', '"text"', "\xff", '{"pictures": []}'])
def test_hostile_categories(root: Path, text: str) -> None:
    (root / TOP / "2/category.json").write_bytes(text.encode("latin-1"))
    found = read("wikiscenes", root)
    assert [(item.path, item.group) for item in found.skipped] == [
        (f"{TOP}/2/category.json", "broken category.json")
    ]
    assert rows(found)["2/pictures/Whole.jpg"]["caption"] == "Süd"


def test_captions_and_names_keep_their_script(root: Path) -> None:
    caption = "  \u202bمحرب\u202c — Ünïcode \ud83d\ude00 \ud800 half  "
    entry = {"caption": caption, "url": 3, "properties": ["\ud800", "Süd"]}
    content = json.dumps({"pairs": {"Фасад": 5}, "pictures": {"Whole.jpg": entry}})
    (root / TOP / "2/category.json").write_text(content)
    category(root / TOP / "2/5", {}, Front="x")
    found = read("wikiscenes", root)
    whole = rows(found)["2/pictures/Whole.jpg"]
    assert whole["caption"] == "\u202bمحرب\u202c — Ünïcode \U0001f600 ? half"
    assert whole["url"] is None
    assert found.properties is not None
    assert '["?", "Süd"]' in found.properties.to_series(1).to_list()
    assert rows(found)["2/5/pictures/Front.jpg"]["categories"] == ["köln dom", "Фасад"]
    assert Catalog(found.table, root).table["caption"].to_list() == found.table["caption"].to_list()


def pack(file: Path, content: bytes, **others: bytes) -> Path:
    if file.suffix == ".gz":
        file.write_bytes(gzip.compress(content))
    elif file.suffix == ".zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("correspondence.json", content)
            packed.writestr("__MACOSX/._correspondence.json", b"\0")
            for name, other in others.items():
                packed.writestr(f"{name}.json", other)
    else:
        file.write_bytes(content)
    return file


@pytest.mark.parametrize("suffix", ["", ".gz", ".zip"])
@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_keypoints_packed_and_in_batches(
    root: Path, suffix: str, batch: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(keypoint_file, "_BATCH", batch)
    monkeypatch.setattr(keypoint_file, "_BLOCK", batch)
    expected = read("wikiscenes", root).keypoints
    content = (root / "correspondence.json").read_bytes()
    (root / "correspondence.json").unlink()
    pack(root / f"correspondence.json{suffix}", content)
    found = read("wikiscenes", root, out=tmp_path / "catalog")
    assert found.keypoints is not None
    assert expected is not None
    assert found.keypoints.equals(expected)


def test_keypoints_that_cannot_be_used(root: Path) -> None:
    points = {
        "1": [0.5, 0.5],
        "x": [0.5, 0.5],
        "-2": [0.5, 0.5],
        "9" * 19: [0, 0],
        "9" * 30: [0, 0],
        "4": [1.5, 0],
        "": [0, 0],
    }
    content = {
        "0/1/pictures/Nave.jpg": points,
        "5/pictures/none.jpg": {"1": [0, 0]},
        "10/pictures/Door.jpg": {id: [0, 0] for id in ("1_0", "+6", " 7", "\u0663")},  # int() takes these
    }
    (root / "correspondence.json").write_text(json.dumps(content))
    found = read("wikiscenes", root)
    assert found.keypoints is not None
    assert found.keypoints["point"].to_list() == [1]
    assert found.source["remarks"] == {
        keypoint_file.NAMELESS: ["0/1/pictures/Nave.jpg", "10/pictures/Door.jpg"],
        keypoint_file.OUTSIDE: ["0/1/pictures/Nave.jpg"],
        keypoint_file.STRANGE: ["5/pictures/none.jpg"],
    }


NAVE = '{"0/1/pictures/Nave.jpg": '
BROKEN = {
    "empty": "",
    "a list": "[1, 2]",
    "ends early": NAVE + '{"1": [0.5, 0.5], "2": [0.',
    "no object": NAVE + "[[1, 2]]}",
    "one coordinate": NAVE + '{"1": [0.5]}}',
    "one, then three coordinates": NAVE + '{"1": 0.5, "2": [0.5, 0.5, 0.5]}}',
    "a list of places": NAVE + '{"1": [[0.5, 0.5]]}}',
    "three coordinates": NAVE + '{"1": [0.5, 0.5, 0.5]}}',
    "text": NAVE + '{"1": ["0", "1"]}}',
    "nothing": NAVE + '{"1": null}}',
    "a number": NAVE + '{"1": 5}}',
    "an object": NAVE + '{"1": {"x": 1}}}',
    "deep": NAVE + '{"1": ' + "[" * 100_000,
    "not a number": NAVE + '{"1": [NaN, 0]}}',
    "more behind": NAVE + '{"1": [0, 0]}} {}',
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_hostile_files_of_keypoints(root: Path, name: str, tmp_path: Path) -> None:
    (root / "correspondence.json").write_text(BROKEN[name])
    with pytest.raises(PerisphereError, match=r"correspondence.json: no whole file of keypoints"):
        read("wikiscenes", root, out=tmp_path / "catalog")
    assert not (tmp_path / "catalog").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_packed_keypoints_that_are_broken(root: Path) -> None:
    content = (root / "correspondence.json").read_bytes()
    cases = {
        "two.zip": (
            pack(root / "two.zip", content, other=b"{}").read_bytes(),
            "holds 2 JSON files where one",
        ),
        "none.zip": (b"PK", "cannot be read"),
        "cut.zip": (pack(root / "cut.zip", content).read_bytes()[:60], "cannot be read"),
        "cut.gz": (gzip.compress(content)[:-12], "broken"),
        "none.gz": (b"no gzip", "broken"),
    }
    for name, (packed, complaint) in cases.items():
        (root / name).write_bytes(packed)
        with pytest.raises(PerisphereError, match=f"{name}: {complaint}"):
            read("wikiscenes", root, correspondences=root / name)
    with pytest.raises(PerisphereError, match="no such file of keypoints"):
        read("wikiscenes", root, correspondences=root / "nowhere.json")


def test_what_fails_while_keypoints_are_written_is_not_laid_on_their_file(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(keypoint_file.KeypointWriter, "add", full)
    with pytest.raises(OSError, match="No space left"):
        read("wikiscenes", root)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(PerisphereError, match=r"no image in WikiScenes/cathedrals.*--without-photos"):
        read("wikiscenes", tmp_path)
