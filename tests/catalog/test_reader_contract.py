"""What every reader keeps, whatever its layout."""

import contextlib
import hashlib
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from photos import write_photo
from PIL import Image
from scipy.io import savemat

from perisphere.catalog import Catalog, Skipped
from perisphere.catalog.catalog import SCHEMA
from perisphere.catalog.readers import READERS, read
from perisphere.errors import PerisphereError, UsageError


def _flat(root: Path, names: list[str]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    return root


def _csv(root: Path, names: list[str]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "list.csv").write_text("\n".join(["path,label", *(f"{name},x" for name in names)]) + "\n")
    return root


def _names(root: Path, names: list[str]) -> Path:
    (_flat(root, names) / "list.txt").write_text("\n".join(names))
    return root


def _gldv2(root: Path, names: list[str]) -> Path:
    for name in names:
        place = root / placed("gldv2", name)
        place.parent.mkdir(parents=True, exist_ok=True)
        (root / name).rename(place)
    _flat(root, names)
    (root / "index.csv").write_text("\n".join(["id", *(Path(placed("gldv2", name)).stem for name in names)]))
    return root


def _classic(root: Path, names: list[str]) -> Path:
    (_flat(root, names) / "gt").mkdir()
    query = Path(names[0] if names else "none").stem
    for part, text in (("query", f"{query} 0 0 8 8"), ("good", query), ("ok", ""), ("junk", "")):
        (root / f"gt/q_{part}.txt").write_text(text)
    return root


def _revisited(root: Path, names: list[str]) -> Path:
    stems = [Path(name).stem for name in names]
    lists = {"easy": [], "hard": [], "junk": []}
    truth = {"imlist": stems, "qimlist": [*stems, "none"][:1], "gnd": [lists]}
    (_flat(root, names) / "gnd_test.json").write_text(json.dumps(truth))
    return root


def _moved(root: Path, names: list[str], format: str) -> list[str]:
    """Move the images to where the layout has them, and return their paths."""
    places = [placed(format, name) for name in names]
    for name, place in zip(names, places, strict=True):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / name).rename(root / place)
    _flat(root, names)
    return places


def _birds(root: Path, names: list[str]) -> Path:
    _moved(root, names, "cub")
    for file, values in {
        "images.txt": names,
        "image_class_labels.txt": ["1" if name.startswith("a/") else "2" for name in names],
        "train_test_split.txt": ["1"] * len(names),
    }.items():
        (root / file).write_text("".join(f"{k} {value}\n" for k, value in enumerate(values, 1)))
    return root


def _cars(root: Path, names: list[str]) -> Path:
    kinds = [("relative_im_path", "O"), ("class", "O"), ("test", "O")]
    table = np.array([(name, 1, 0) for name in names], kinds).reshape(1, -1)
    _flat(root, names)
    savemat(root / "cars_annos.mat", {"annotations": table, "class_names": np.array([["x"]], object)})
    return root


def _flowers(root: Path, names: list[str]) -> Path:
    _moved(root, names, "flowers102")
    ids = np.array([int(placed("flowers102", name)[-9:-4]) for name in names], np.int32)
    savemat(root / "imagelabels.mat", {"labels": np.ones((1, 90_000), np.uint8)})
    savemat(root / "setid.mat", {"trnid": ids, "valid": ids[:0], "tstid": ids[:0]})
    return root


def _inat(root: Path, names: list[str]) -> Path:
    _flat(root, names)
    images = [{"id": k, "file_name": name} for k, name in enumerate(names)]
    content = {
        "images": images,
        "annotations": [{"image_id": image["id"], "category_id": 0} for image in images],
        "categories": [{"id": 0, "name": "x", "supercategory": "y"}],
    }
    (root / "train2018.json").write_text(json.dumps(content))
    (root / "val2018.json").write_text(json.dumps({**content, "images": [], "annotations": []}))
    return root


def _ilsvrc(root: Path, names: list[str]) -> Path:
    _moved(root, names, "ilsvrc2012")
    (root / "ILSVRC2012_img_train").mkdir(exist_ok=True)
    return root


def _mit67(root: Path, names: list[str]) -> Path:
    _moved(root, names, "mit67")
    (root / "TrainImages.txt").write_text("\n".join(names))
    (root / "TestImages.txt").write_text("")
    return root


def _divided(root: Path, names: list[str]) -> Path:
    _flat(root, names)
    (root / "train.txt").write_text("\n".join(names))
    (root / "test.txt").write_text("")
    return root


def _market(root: Path, names: list[str]) -> Path:
    _moved(root, names, "market1501")
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        (root / folder).mkdir(exist_ok=True)
    return root


def _msmt17(root: Path, names: list[str]) -> Path:
    _moved(root, names, "msmt17")
    for folder in ("train", "test"):
        (root / folder).mkdir(exist_ok=True)
    lines = [placed("msmt17", name).removeprefix("train/") + " 0\n" for name in names]
    (root / "list_train.txt").write_text("".join(lines))
    for name in ("query", "gallery"):
        (root / f"list_{name}.txt").write_text("")
    return root


def _fashion(root: Path, names: list[str]) -> Path:
    places = _moved(root, names, "fashion")
    images = [{"id": k, "file_name": Path(place).name} for k, place in enumerate(places)]
    pairs = [{"image_id": image["id"], "pair_id": 1, "source": "shop"} for image in images]
    empty = {"images": [], "annotations": []}
    for split in ("train", "query"):
        (root / f"{split}.json").write_text(json.dumps(empty))
    (root / "gallery.json").write_text(json.dumps({"images": images, "annotations": pairs}))
    return root


def _deepfashion(root: Path, names: list[str]) -> Path:
    paths = _moved(root, names, "deepfashion")
    for folder in ("Anno", "Eval", "img"):
        (root / folder).mkdir(exist_ok=True)
    pairs = [f"{path} {path} id_00000001 test\n" for path in paths]
    boxes = [f"{path} 1 1 0 0 9 9\n" for path in paths]
    head = f"{len(paths)}\ncolumns\n"
    (root / "Eval/list_eval_partition.txt").write_text(head + "".join(pairs))
    (root / "Anno/list_bbox_consumer2shop.txt").write_text(head + "".join(boxes))
    return root


def _street2shop(root: Path, names: list[str]) -> Path:
    for name in names:
        place = root / "images" / placed("street2shop", name)
        place.parent.mkdir(exist_ok=True)
        (root / name).rename(place)
    for folder in ("meta/json", "images"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    photos = [{"photo": int(placed("street2shop", name)[:9]), "product": 7} for name in names]
    for kind, content in (("train_pairs", []), ("test_pairs", []), ("retrieval", photos)):
        (root / f"meta/json/{kind}_dresses.json").write_text(json.dumps(content))
    return root


def _tags(root: Path, names: list[str]) -> Path:
    _moved(root, names, "tags")
    lines = [json.dumps({"image": name, "tags": ["x"]}) for name in names]
    (root / "tags.jsonl").write_text("\n".join(lines))
    return root


def _moved_below(folder: Path, root: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).rename(folder / name)


def _published_hashing(name: str, tag_list: str) -> Callable[[Path, list[str]], Path]:
    def write(root: Path, names: list[str]) -> Path:
        _moved_below(root / "datasets" / name, root, names)
        lists = root / "data" / name
        lists.mkdir(parents=True)
        for part, listed in (("train", []), ("database", names), ("test", [])):
            (lists / f"{part}_img.txt").write_text("".join(f"{name}\n" for name in listed))
            kind = "tag" if part == "train" else "label"
            (lists / f"{part}_{kind}.txt").write_text("1 0\n" * len(listed))
        (lists / tag_list).write_text("sky\nsea\n")
        return root

    return write


def _mirflickr(root: Path, names: list[str]) -> Path:
    for name in sorted(names):
        place = root / placed("mirflickr", name)
        place.parent.mkdir(parents=True, exist_ok=True)
        (root / name).rename(place)
    (root / "mirflickr/meta/tags").mkdir(parents=True, exist_ok=True)
    return root


def _nuswide_original(root: Path, names: list[str]) -> Path:
    _moved_below(root / "Flickr", root, names)
    for folder in ("ImageList", "Groundtruth/AllLabels"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "ImageList/Imagelist.txt").write_text("".join(name.replace("/", "\\") + "\n" for name in names))
    (root / "Groundtruth/AllLabels/Labels_sky.txt").write_text("1\n" * len(names))
    return root


def _hashing_lists(root: Path, names: list[str]) -> Path:
    _flat(root, names)
    (root / "database.txt").write_text("".join(f"{name} 1 0\n" for name in names))
    return root


def _wikiscenes(root: Path, names: list[str]) -> Path:
    places = _moved(root, names, "wikiscenes")
    top = root / "WikiScenes/cathedrals"
    (top / "0").mkdir(parents=True, exist_ok=True)
    pictures = {Path(place).name: {"caption": "", "url": "", "properties": []} for place in places}
    (top / "category.json").write_text(json.dumps({"max_index": 1, "pairs": {"towers": "0"}, "pictures": {}}))
    (top / "0/category.json").write_text(json.dumps({"max_index": 0, "pairs": {}, "pictures": pictures}))
    return root


def _wikiscenes_masks(root: Path, names: list[str]) -> Path:
    _flat(root, names)
    lines = [f"./{name} ./{name}.png\n" for name in names]
    (root / "wikiscenes_val.txt").write_text("".join(lines))
    for name in names:
        with contextlib.suppress(OSError), Image.open(root / name) as photo:
            Image.new("L", photo.size, 3).save(root / f"{name}.png")
    return root


def _correspondences(root: Path, names: list[str]) -> Path:
    (_flat(root, names) / "correspondences.csv").write_text("image1,image2,x1,y1,x2,y2\n")
    return root


# How each layout names images that lie below one folder: (write the layout's own files) -> root to read.
LAYOUTS: dict[str, Callable[[Path, list[str]], Path]] = {
    "folders": _flat,
    "images": _flat,
    "csv": _csv,
    "names": _flat,
    "distractors": _names,
    "gldv2": _gldv2,
    "oxford5k": _classic,
    "paris6k": _classic,
    "revisited": _revisited,
    "ilsvrc2012": _ilsvrc,
    "nabirds": _birds,
    "cub": _birds,
    "cars": _cars,
    "flowers102": _flowers,
    "inat": _inat,
    "mit67": _mit67,
    "ucmerced": _divided,
    "resisc45": _divided,
    "market1501": _market,
    "dukemtmc": _market,
    "cuhk03": _market,
    "msmt17": _msmt17,
    "fashion": _fashion,
    "deepfashion": _deepfashion,
    "street2shop": _street2shop,
    "tags": _tags,
    "flickr25k": _published_hashing("flickr25k", "common_tags.txt"),
    "nuswide": _published_hashing("nus-wide", "TagList1k.txt"),
    "mirflickr": _mirflickr,
    "nuswide-original": _nuswide_original,
    "hashing-lists": _hashing_lists,
    "wikiscenes": _wikiscenes,
    "wikiscenes-masks": _wikiscenes_masks,
    "correspondences": _correspondences,
}
# Layouts whose photos are no files; their tests are in test_cifar.py.
PACKED = {"cifar10", "cifar100"}
FOLDERS = {
    "mit67": "Images",
    "nabirds": "images",
    "cub": "images",
    "ilsvrc2012": "ILSVRC2012_img_train",
    "tags": "images",
}
FLAT = {
    "market1501": "bounding_box_train/0002_c1s1_",
    "dukemtmc": "bounding_box_train/0002_c1s1_",
    "cuhk03": "bounding_box_train/0002_c1s1_",
    "msmt17": "train/0000_000_01_",
    "fashion": "gallery/",
    "deepfashion": "img/CLOTHING/Blouse/id_00000001/",
    "wikiscenes": "WikiScenes/cathedrals/0/pictures/",
}


def placed(format: str, name: str) -> str:
    """Where the layout wants the image: Landmarks v2 and Flowers-102 have their places by id."""
    if format == "street2shop":
        return f"{zlib.crc32(name.encode()) % 90_000:09d}.jpg"
    if format == "mirflickr":  # photos are in the order of their numbers
        letters = name[0] + Path(name).stem[:4].ljust(4, "0")
        return f"mirflickr/im{int(letters, 36)}.jpg"
    if format in FLAT:
        return FLAT[format] + name.replace("/", "-")
    if format == "flowers102":
        return f"jpg/image_{zlib.crc32(name.encode()) % 90_000 + 1:05d}.jpg"
    if format != "gldv2":
        return f"{FOLDERS[format]}/{name}" if format in FOLDERS else name
    id = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[:16]
    return f"index/{id[0]}/{id[1]}/{id[2]}/{id}.jpg"


def images(found: Catalog) -> pl.DataFrame:
    """The rows of the images themselves; a benchmark's queries are rows of their own."""
    return found.table.filter(pl.col("split").ne_missing("query"))


@pytest.fixture(params=sorted(LAYOUTS))
def format(request: pytest.FixtureRequest) -> str:
    return request.param


def test_every_reader_is_under_contract() -> None:
    assert set(LAYOUTS) | PACKED == set(READERS)


def test_a_missing_root_is_an_error(format: str, tmp_path: Path) -> None:
    with pytest.raises(PerisphereError, match="nowhere: no such"):
        read(format, tmp_path / "nowhere")


def test_an_empty_root_is_an_error(format: str, tmp_path: Path) -> None:
    with pytest.raises(PerisphereError, match="no image"):
        read(format, LAYOUTS[format](tmp_path / "root", []))


def test_one_image(format: str, tmp_path: Path) -> None:
    write_photo(tmp_path / "root/a/one.jpg", width=48, height=32)
    found = read(format, LAYOUTS[format](tmp_path / "root", ["a/one.jpg"]))
    assert dict(found.table.schema) == SCHEMA
    assert images(found).select("id", "path", "width", "height").rows() == [
        (0, placed(format, "a/one.jpg"), 48, 32)
    ]
    assert found.paths()[0].is_file()
    assert found.source["format"] == format


def damaged(root: Path) -> list[str]:
    """Write two good photos and one of each kind of bad one."""
    write_photo(root / "a/good1.jpg", 1)
    write_photo(root / "b/good2.png", 2)
    half = write_photo(root / "a/half.jpg", 3, 300, 200)
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    (root / "a/empty.jpg").write_bytes(b"")
    (root / "b/text.jpg").write_text("no photo")
    return ["a/empty.jpg", "a/good1.jpg", "a/half.jpg", "b/good2.png", "b/text.jpg"]


def test_corrupted_images_are_skipped_with_their_reasons(format: str, tmp_path: Path) -> None:
    names = damaged(tmp_path / "root")
    found = read(format, LAYOUTS[format](tmp_path / "root", names))
    places = {name: placed(format, name) for name in names}
    assert images(found)["path"].to_list() == [places["a/good1.jpg"], places["b/good2.png"]]
    reasons = {item.path: item.reason for item in found.skipped if item.path in places.values()}
    assert reasons[places["a/empty.jpg"]] == "empty file (0 bytes)"
    assert reasons[places["a/half.jpg"]] == "truncated"
    assert reasons[places["b/text.jpg"]].startswith("not a JPEG")
    assert len(reasons) == 3


def test_strict_makes_the_first_bad_image_an_error(format: str, tmp_path: Path) -> None:
    names = damaged(tmp_path / "root")
    root = LAYOUTS[format](tmp_path / "root", names)
    with pytest.raises(
        PerisphereError, match=placed(format, "a/empty.jpg") + ": empty file.* leave strict out"
    ):
        read(format, root, strict=True)


def test_only_bad_images_is_an_error_that_counts_them(format: str, tmp_path: Path) -> None:
    (tmp_path / "root/a").mkdir(parents=True)
    (tmp_path / "root/a/1.jpg").write_bytes(b"")
    (tmp_path / "root/a/2.jpg").write_bytes(b"")
    with pytest.raises(PerisphereError, match="2 x empty file"):
        read(format, LAYOUTS[format](tmp_path / "root", ["a/1.jpg", "a/2.jpg"]))


@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_catalog_each_time_and_with_any_workers(format: str, workers: int, tmp_path: Path) -> None:
    root = LAYOUTS[format](tmp_path / "root", damaged(tmp_path / "root"))
    first, second = read(format, root), read(format, root, workers=workers)
    assert first.table.equals(second.table)
    assert first.skipped == second.skipped


def test_save_and_load_give_the_same(format: str, tmp_path: Path) -> None:
    found = read(format, LAYOUTS[format](tmp_path / "root", damaged(tmp_path / "root")))
    found.save(tmp_path / "catalog")
    loaded = Catalog.load(tmp_path / "catalog")
    assert loaded.table.equals(found.table)
    assert (loaded.root, loaded.skipped, loaded.source) == (found.root, found.skipped, found.source)


def test_many_blocks_keep_their_order(format: str, tmp_path: Path) -> None:
    names = [f"a/{number:04}.jpg" for number in range(150)]
    first = write_photo(tmp_path / "root" / names[0], 0, 8, 8)
    for name in names[1:]:
        (tmp_path / "root" / name).hardlink_to(first)
    found = read(format, LAYOUTS[format](tmp_path / "root", names), workers=2)
    assert images(found)["path"].to_list() == [placed(format, name) for name in names]


def test_unknown_options_are_refused(format: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"'{format}' takes no option 'colour'"):
        read(format, tmp_path, colour="red")


def test_negative_workers_are_refused(format: str, tmp_path: Path) -> None:
    write_photo(tmp_path / "root/a/one.jpg")
    with pytest.raises(UsageError, match="workers: -1"):
        read(format, LAYOUTS[format](tmp_path / "root", ["a/one.jpg"]), workers=-1)


@pytest.mark.parametrize("walking", ["folders", "images"])
def test_names_that_are_not_utf8_are_counted_skips(walking: str, tmp_path: Path) -> None:
    write_photo(tmp_path / "root/a/good.jpg")
    os.link(tmp_path / "root/a/good.jpg", os.fsencode(tmp_path / "root/a") + b"/caf\xe9.jpg")
    found = read(walking, tmp_path / "root")
    assert found.skipped == [Skipped("a/caf\\xe9.jpg", "name is not UTF-8; rename the file or its folder")]
    found.save(tmp_path / "catalog")
    with pytest.raises(PerisphereError, match="not UTF-8"):
        read(walking, tmp_path / "root", strict=True)


@pytest.mark.parametrize("walking", ["folders", "images"])
def test_a_root_that_is_not_utf8_is_an_error(walking: str, tmp_path: Path) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    write_photo(tmp_path / "one.jpg")
    (root / "a").mkdir(parents=True)
    (root / "a/one.jpg").symlink_to(tmp_path / "one.jpg")
    with pytest.raises(PerisphereError, match=r"caf\\xe9: the folder's name is not UTF-8"):
        read(walking, root)


@pytest.mark.parametrize("walking", ["folders", "images"])
def test_links_that_go_round_do_not_hang(walking: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_photo(root / "a/one.jpg")
    (root / "a/self").symlink_to(root / "a")
    (root / "a/up").symlink_to(root)
    (root / "other").symlink_to(root / "a")
    found = read(walking, root)
    assert found.table["path"].to_list() == ["a/one.jpg", "other/one.jpg"]
    assert {item.reason for item in found.skipped} == {"link back into a folder above it"}


@pytest.mark.parametrize("walking", ["folders", "images"])
def test_a_folder_that_cannot_be_listed_is_a_counted_skip(
    walking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photo(tmp_path / "a/one.jpg")
    write_photo(tmp_path / "b/two.jpg")
    scandir = os.scandir

    def refuse(folder: Path) -> object:
        if Path(folder).name == "b":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    found = read(walking, tmp_path)
    assert found.table["path"].to_list() == ["a/one.jpg"]
    assert found.skipped == [Skipped("b/", "folder cannot be read (Permission denied)")]


@pytest.mark.parametrize("walking", ["folders", "images"])
def test_other_files_are_counted_and_hidden_ones_passed_over(walking: str, tmp_path: Path) -> None:
    write_photo(tmp_path / "a/one.JPG")
    for name in ("notes.txt", "README", ".DS_Store", "._one.jpg"):
        (tmp_path / "a" / name).write_text("x")
    found = read(walking, tmp_path, strict=True)
    assert [item.reason for item in found.skipped] == [
        "not an image file (no suffix)",
        "not an image file (.txt)",
    ]


def test_an_unknown_format_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'folders'"):
        read("folder", tmp_path)


@pytest.mark.parametrize("walking", ["folders", "images"])
def test_nothing_there_says_what_to_do(walking: str, tmp_path: Path) -> None:
    with pytest.raises(PerisphereError, match=r"none: no such folder of images\. Name one"):
        read(walking, tmp_path / "none")
    with pytest.raises(PerisphereError, match=r"holds no images\. Name a folder of photos"):
        read(walking, tmp_path)
