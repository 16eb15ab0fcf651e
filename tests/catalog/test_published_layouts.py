"""Stanford Cars, Flowers-102, iNaturalist, ILSVRC 2012 and the sets whose splits stand in text files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photos import write_photo
from scipy.io import savemat

from perisphere.catalog import Skipped
from perisphere.catalog.readers import inat, read
from perisphere.catalog.readers.coco import parse
from perisphere.catalog.readers.lists import class_labels
from perisphere.errors import PerisphereError, UsageError

CARS = ["AM General Hummer SUV 2000", "Acura RL Sedan 2012"]


def annotations(rows: list[tuple[Any, Any, Any]]) -> np.ndarray:
    fields = ["relative_im_path", "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "test"]
    table = [(path, 1, 1, 9, 9, label, test) for path, label, test in rows]
    return np.array(table, [(name, "O") for name in fields]).reshape(1, -1)


def write_cars(root: Path, rows: list[tuple[Any, Any, Any]], **other: Any) -> Path:
    root.mkdir(exist_ok=True)
    content = {"annotations": annotations(rows), "class_names": np.array([CARS], object), **other}
    savemat(root / "cars_annos.mat", content, do_compression=True)
    for number in range(1, 4):
        write_photo(root / f"car_ims/00000{number}.jpg", number)
    return root


def test_cars(tmp_path: Path) -> None:
    rows = [("car_ims/000001.jpg", 1, 0), ("car_ims/000002.jpg", 2.0, 1.0), ("car_ims/000003.jpg", 2, 0)]
    found = read("cars", write_cars(tmp_path, rows), strict=True)
    assert found.table.select("path", "split", "label").rows() == [
        ("car_ims/000001.jpg", "train", CARS[0]),
        ("car_ims/000002.jpg", "test", CARS[1]),
        ("car_ims/000003.jpg", "train", CARS[1]),
    ]
    assert found.classes == {"1": CARS[0], "2": CARS[1]}
    (tmp_path / "cars_annos.mat").rename(tmp_path / "other.mat")
    assert len(read("cars", tmp_path, annotations=tmp_path / "other.mat")) == 3


def test_one_car_alone(tmp_path: Path) -> None:
    assert read("cars", write_cars(tmp_path, [("car_ims/000001.jpg", 2, 1)])).labels() == [CARS[1]]


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (("car_ims/000002.jpg", 3, 0), "annotation 2 is of class 3; there are 2 names"),
        (("car_ims/000002.jpg", 0, 0), "annotation 2 is of class 0"),
        (("car_ims/000002.jpg", 1.5, 0), "annotation 2 is no path with a class"),
        (("car_ims/000002.jpg", "one", 0), "annotation 2 is no path with a class"),
        (("car_ims/000002.jpg", 1, 2), "annotation 2 is no path"),
        ((7, 1, 0), "annotation 2 is no path"),
    ],
)
def test_annotations_that_are_wrong_are_named(row: Any, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(PerisphereError, match=complaint):
        read("cars", write_cars(tmp_path, [("car_ims/000001.jpg", 1, 0), row]))


def test_cars_out_of_the_folder_or_gone_are_counted(tmp_path: Path) -> None:
    rows = [("car_ims/000001.jpg", 1, 0), ("../x.jpg", 1, 0), ("car_ims/9.jpg", 1, 0), ("/etc/x.jpg", 1, 0)]
    found = read("cars", write_cars(tmp_path, rows))
    assert len(found) == 1
    assert [item.path for item in found.skipped] == ["../x.jpg", "/etc/x.jpg", "car_ims/9.jpg"]


def test_other_matlab_files_are_no_cars(tmp_path: Path) -> None:
    good = annotations([("car_ims/000001.jpg", 1, 0)])
    for content, complaint in (
        ({"annotations": np.arange(3), "class_names": np.arange(3)}, "annotations are no structures"),
        (
            {"annotations": np.array([[(1, 0)]], [("class", "O"), ("test", "O")]), "class_names": 1},
            "no field 'relative_im_path'",
        ),
        ({"annotations": good, "class_names": 1}, "class names are no texts"),
        ({"annotations": good}, "holds no variable 'class_names'"),
    ):
        savemat(tmp_path / "cars_annos.mat", content)
        with pytest.raises(PerisphereError, match=complaint):
            read("cars", tmp_path)
    (tmp_path / "cars_annos.mat").write_bytes((tmp_path / "cars_annos.mat").read_bytes()[:150])
    with pytest.raises(PerisphereError, match=r"cars_annos\.mat: "):
        read("cars", tmp_path)
    (tmp_path / "cars_annos.mat").unlink()
    with pytest.raises(PerisphereError, match=r"cars_annos\.mat: cannot be read \(No such file"):
        read("cars", tmp_path)


def write_flowers(root: Path, labels: Any, **sets: Any) -> Path:
    root.mkdir(exist_ok=True)
    savemat(root / "imagelabels.mat", {"labels": np.array([labels], np.uint8)})
    savemat(root / "setid.mat", {name: np.array([ids]) for name, ids in sets.items()})
    for number in range(1, len(labels) + 1):
        write_photo(root / f"jpg/image_{number:05d}.jpg", number)
    return root


def test_flowers(tmp_path: Path) -> None:
    root = write_flowers(tmp_path, [77, 1, 77, 102], trnid=[3], valid=[2], tstid=[4, 1])
    found = read("flowers102", root, strict=True)
    assert found.table.select("path", "split", "label").rows() == [
        ("jpg/image_00003.jpg", "train", "77"),
        ("jpg/image_00002.jpg", "train", "1"),
        ("jpg/image_00004.jpg", "test", "102"),
        ("jpg/image_00001.jpg", "test", "77"),
    ]
    assert found.classes == {"1": "1", "77": "77", "102": "102"}


@pytest.mark.parametrize(
    ("sets", "complaint"),
    [
        ({"trnid": [1], "valid": [2], "tstid": [3]}, r"setid\.mat: tstid names photo 3, .* has 2 labels"),
        ({"trnid": [0], "valid": [1], "tstid": [2]}, "trnid names photo 0"),
        ({"trnid": [1], "valid": [2], "tstid": [1]}, "photo 1 is in two sets"),
        ({"trnid": [1.5], "valid": [2], "tstid": [1]}, "'trnid' is no list of whole numbers"),
        ({"trnid": [1], "valid": [2]}, "holds no variable 'tstid'"),
    ],
)
def test_flower_lists_that_disagree(sets: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(PerisphereError, match=complaint):
        read("flowers102", write_flowers(tmp_path, [1, 2], **sets))


def category(id: int, name: str, above: str, **ranks: str) -> dict[str, Any]:
    return {"id": id, "name": name, "supercategory": above, **ranks}


CATEGORIES = [
    category(5, "Danaus plexippus", "Insecta"),
    category(2, "Parus major", "Aves"),
    category(9, "Turdus merula", "Aves", kingdom="Animalia", phylum="Chordata", genus="Turdus"),
]


def write_inat(root: Path, year: int, categories: list[dict[str, Any]] = CATEGORIES, **other: Any) -> Path:
    root.mkdir(exist_ok=True)
    for split, ids in (("train", [2, 5, 9]), ("val", [9, 2])):
        images = [
            {"id": 10 + k, "file_name": f"train_val{year}/{split}/{id}/{k}.jpg", "license": 3, "width": 48}
            for k, id in enumerate(ids)
        ]
        for seed, image in enumerate(images):
            write_photo(root / image["file_name"], seed)
        labels = [{"id": k, "image_id": 10 + k, "category_id": id} for k, id in enumerate(ids)]
        content = {"info": {"year": year}, "images": images, "annotations": labels, "categories": categories}
        (root / f"{split}{year}.json").write_text(json.dumps({**content, **other}))
    return root


@pytest.mark.parametrize("year", [2018, 2019])
def test_inaturalist(year: int, tmp_path: Path) -> None:
    found = read("inat", write_inat(tmp_path, year), strict=True)
    assert found.table.select("path", "split", "label", "categories").rows() == [
        (f"train_val{year}/train/2/0.jpg", "train", "Parus major", ["Aves", "Parus major"]),
        (f"train_val{year}/train/5/1.jpg", "train", "Danaus plexippus", ["Insecta", "Danaus plexippus"]),
        (
            f"train_val{year}/train/9/2.jpg",
            "train",
            "Turdus merula",
            ["Animalia", "Chordata", "Turdus", "Turdus merula"],
        ),
        (
            f"train_val{year}/val/9/0.jpg",
            "val",
            "Turdus merula",
            ["Animalia", "Chordata", "Turdus", "Turdus merula"],
        ),
        (f"train_val{year}/val/2/1.jpg", "val", "Parus major", ["Aves", "Parus major"]),
    ]
    assert list(found.classes.items()) == [
        ("2", "Parus major"), ("5", "Danaus plexippus"), ("9", "Turdus merula")
    ]  # fmt: skip


def test_a_supercategory_keeps_the_ids(tmp_path: Path) -> None:
    found = read("inat", write_inat(tmp_path, 2018), supercategory="aves")
    assert set(found.labels()) == {"Parus major", "Turdus merula"}
    assert found.classes == {"2": "Parus major", "9": "Turdus merula"}
    assert found.skipped == []
    with pytest.raises(
        UsageError, match=r"supercategory: 'Avis' is not in train2018\.json\. Did you mean 'Aves'"
    ):
        read("inat", tmp_path, supercategory="Avis")


def test_two_years_need_a_word(tmp_path: Path) -> None:
    with pytest.raises(PerisphereError, match=r"holds neither train2018\.json nor train2019\.json"):
        read("inat", tmp_path)
    write_inat(write_inat(tmp_path, 2018), 2019)
    with pytest.raises(PerisphereError, match=r"both .* Choose one with --year"):
        read("inat", tmp_path)
    assert read("inat", tmp_path, year=2019).table["path"][0].startswith("train_val2019")
    with pytest.raises(PerisphereError, match=r"train2020\.json: missing"):
        read("inat", tmp_path, year=2020)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "no JSON"), ("[]", "no list 'images'"), ('{"images": [1]}', "no list 'images'"),
        ('{"images": [], "annotations": {}}', "no list 'annotations'"),
        ("[" * 100_000, "no JSON"), ("\xff", "no JSON"),
        ('{"images": [], "annotations": [], "categories": [{"id": "1", "name": "x"}]}', "no id or no name"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "x"}]}', "not those of train"),
    ],
)  # fmt: skip
def test_json_of_another_form(text: str, complaint: str, tmp_path: Path) -> None:
    (write_inat(tmp_path, 2018) / "val2018.json").write_text(text, "latin-1")
    with pytest.raises(PerisphereError, match=rf"val2018\.json: .*{complaint}"):
        read("inat", tmp_path)


def test_annotations_that_lead_nowhere_are_counted(tmp_path: Path) -> None:
    root = write_inat(tmp_path, 2018)
    content = json.loads((root / "train2018.json").read_text())
    content["images"] += [{"id": [1], "file_name": 7}, {"id": 50, "file_name": "../../x.jpg"}]
    content["annotations"] += [
        {"image_id": 99, "category_id": 2}, {"image_id": 10, "category_id": 77},
        {"image_id": [1], "category_id": 2}, {"image_id": 50, "category_id": 2}, {},
    ]  # fmt: skip
    (root / "train2018.json").write_text(json.dumps(content))
    found = read("inat", root)
    reason = "names a category or an image that is not there"
    assert found.skipped == [
        Skipped("../../x.jpg", "leads out of the folder of photos"),
        *(Skipped(f"train2018.json: annotation {k}", reason) for k in (3, 4, 5, 7)),
    ]


def test_only_what_is_needed_is_kept_of_a_file(tmp_path: Path) -> None:
    root = write_inat(tmp_path, 2018)
    assert parse(root / "val2018.json", inat._LISTS, inat._KEPT)["images"][0] == {
        "id": 10,
        "file_name": "train_val2018/val/9/0.jpg",
    }


def test_ilsvrc(tmp_path: Path) -> None:
    for path in ("train/n01440764/n01440764_18.JPEG", "train/n02119789/a.JPEG", "val/n01440764/v.JPEG"):
        write_photo(tmp_path / f"ILSVRC2012_img_{path}")
    (tmp_path / "ILSVRC2012_img_train/n02119789/notes.txt").write_text("x")
    found = read("ilsvrc2012", tmp_path)
    assert found.table.select("path", "split", "label").rows() == [
        ("ILSVRC2012_img_train/n01440764/n01440764_18.JPEG", "train", "n01440764"),
        ("ILSVRC2012_img_train/n02119789/a.JPEG", "train", "n02119789"),
        ("ILSVRC2012_img_val/n01440764/v.JPEG", "val", "n01440764"),
    ]
    assert found.skipped == [Skipped("ILSVRC2012_img_train/n02119789/notes.txt", "not an image file (.txt)")]


def test_validation_photos_without_class_folders_are_counted(tmp_path: Path) -> None:
    write_photo(tmp_path / "ILSVRC2012_img_train/n01440764/a.JPEG")
    write_photo(tmp_path / "ILSVRC2012_img_val/ILSVRC2012_val_00000001.JPEG")
    found = read("ilsvrc2012", tmp_path)
    assert "move it to the folder of its WordNet id" in found.skipped[0].reason
    with pytest.raises(PerisphereError, match="lies in no class folder"):
        read("ilsvrc2012", tmp_path, strict=True)
    with pytest.raises(PerisphereError, match="holds neither ILSVRC2012_img_train nor ILSVRC2012_img_val"):
        read("ilsvrc2012", tmp_path / "ILSVRC2012_img_val")


@pytest.mark.parametrize(
    ("format", "folder", "train", "test"),
    [
        ("mit67", "Images/", "TrainImages.txt", "TestImages.txt"),
        ("ucmerced", "", "train.txt", "test.txt"),
        ("resisc45", "", "train.txt", "test.txt"),
    ],
)
def test_classes_in_folders_and_splits_in_lists(
    format: str, folder: str, train: str, test: str, tmp_path: Path
) -> None:
    for path in ("airport_inside/a b.jpg", "bakery/2.tif", "bakery/3.jpg"):
        write_photo(tmp_path / folder / path)
    (tmp_path / train).write_text(
        "airport_inside/a b.jpg\r\nbakery/2.tif\r\n\r\nbakery/2.tif\r\nloose.jpg\r\n"
    )
    (tmp_path / test).write_text("bakery/3.jpg\n../up/3.jpg\nbakery/none.jpg")
    found = read(format, tmp_path)
    assert found.table.select("path", "split", "label").rows() == [
        (f"{folder}airport_inside/a b.jpg", "train", "airport_inside"),
        (f"{folder}bakery/2.tif", "train", "bakery"),
        (f"{folder}bakery/3.jpg", "test", "bakery"),
    ]
    reasons = {item.path: item.group for item in found.skipped}
    assert reasons[f"{train}:4"] == "names a photo again"
    assert reasons[f"{train}:5"] == reasons[f"{test}:2"] == "is not CLASS/IMAGE below the folder of photos"
    assert f"{folder}bakery/none.jpg" in reasons
    (tmp_path / test).unlink()
    with pytest.raises(PerisphereError, match=rf"{test}: no such list\. .* `perisphere split`"):
        read(format, tmp_path)


def test_a_label_means_one_class() -> None:
    names = {"1": "robin", "2": "robin", "3": " house\nsparrow ", "4": "", "5": "6", "6": "6", "7": "3"}
    assert class_labels(names) == {
        "1": "robin (1)", "2": "robin (2)", "3": "house sparrow", "4": "4", "5": "6 (5)", "6": "6 (6)",
        "7": "3 (7)",
    }  # fmt: skip
