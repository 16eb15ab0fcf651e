import json
import tarfile
from pathlib import Path

import pytest
from photos import write_photo
from typer.testing import CliRunner

import perisphere.cli.read  # noqa: F401
from perisphere.catalog import Catalog, Skipped
from perisphere.catalog.readers import read
from perisphere.cli.main import app
from perisphere.errors import PerisphereError, UsageError
from perisphere.taxonomy import Taxonomy

IDS = ["0000139e-21dc-4d0c-bfe1-4cae3c85c829", "0000d9fc-4e02-4c06-a0af-a55cfb16b12b", "00019306-9d83"]


@pytest.fixture
def nabirds(tmp_path: Path) -> Path:
    """The published layout, with an inner node of the taxonomy that has a leaf's name."""
    root = tmp_path / "nabirds"
    folders, labels = ["0817", "0860", "0893"], ["817", "860", "893"]
    paths = [f"{folder}/{id.replace('-', '')}.jpg" for folder, id in zip(folders, IDS, strict=True)]
    for seed, path in enumerate(paths):
        write_photo(root / "images" / path, seed)
    for name, values in (
        ("images", paths), ("image_class_labels", labels), ("train_test_split", ["1", "0", "1"])
    ):  # fmt: skip
        lines = "".join(f"{id} {value}\n" for id, value in zip(IDS, values, strict=True))
        (root / f"{name}.txt").write_text(lines)
    (root / "classes.txt").write_text(
        "0 Birds\n1 Ducks, Geese, and Swans\n22 Oak Titmouse\n817 Oak Titmouse\n"
        "860 Ovenbird\n893 Dark-eyed Junco (Red-backed/Gray-headed)\n"
    )
    (root / "hierarchy.txt").write_text("1 0\n22 1\n817 22\n860 1\n893 0\n")
    return root


def test_nabirds_as_published(nabirds: Path) -> None:
    found = read("nabirds", nabirds)
    assert found.table.select("path", "split", "label").rows() == [
        ("images/0817/0000139e21dc4d0cbfe14cae3c85c829.jpg", "train", "Oak Titmouse"),
        ("images/0860/0000d9fc4e024c06a0afa55cfb16b12b.jpg", "test", "Ovenbird"),
        ("images/0893/000193069d83.jpg", "train", "Dark-eyed Junco (Red-backed/Gray-headed)"),
    ]
    junco = "Dark-eyed Junco (Red-backed/Gray-headed)"
    assert found.classes == {"817": "Oak Titmouse", "860": "Ovenbird", "893": junco}


def test_the_taxonomy_of_nabirds_knows_the_labels(nabirds: Path, tmp_path: Path) -> None:
    found = read("nabirds", nabirds, out=tmp_path / "catalog")
    for names in (tmp_path / "catalog/classes.txt", nabirds / "classes.txt"):
        tree = Taxonomy.load(nabirds / "hierarchy.txt", child_parent=True, names=names)
        assert tree.classes_of([str(label) for label in found.labels()]) == [817, 860, 893]


def test_the_real_taxonomy_of_nabirds_knows_every_class_by_its_name(shared: Path) -> None:
    folder = shared / "data/hierarchies/nabirds"
    tree = Taxonomy.load(folder / "hierarchy.txt", child_parent=True, names=folder / "classes.txt")
    assert len(tree.leaves) == 555
    assert tree.classes_of([tree.names[leaf] for leaf in tree.leaves]) == list(tree.leaves)


@pytest.fixture
def cub(tmp_path: Path) -> Path:
    root = tmp_path / "CUB_200_2011"
    names = ["001.Black_footed_Albatross", "002.Laysan_Albatross"]
    lists: dict[str, list[str]] = {"images": [], "image_class_labels": [], "train_test_split": []}
    for number in range(1, 7):
        label = 1 + number // 4
        path = f"{names[label - 1]}/{names[label - 1][4:]}_000{number}_{number}.jpg"
        write_photo(root / "images" / path, number)
        for name, value in zip(lists, (path, label, number % 2), strict=True):
            lists[name].append(f"{number} {value}\n")
    for name, lines in lists.items():
        (root / f"{name}.txt").write_text("".join(lines))
    (root / "classes.txt").write_text("".join(f"{k} {name}\n" for k, name in enumerate(names, 1)))
    (root / "train_test_split_1.txt").write_text("1 1\n2 0\n4 0\n5 1\n6 0\n")
    return root


def test_cub_as_published(cub: Path) -> None:
    found = read("cub", cub, strict=True)
    assert found.table["path"][0] == "images/001.Black_footed_Albatross/Black_footed_Albatross_0001_1.jpg"
    assert found.table["split"].to_list() == ["train", "test"] * 3
    assert found.labels() == ["001.Black_footed_Albatross"] * 3 + ["002.Laysan_Albatross"] * 3
    assert found.classes == {"1": "001.Black_footed_Albatross", "2": "002.Laysan_Albatross"}


def test_a_part_of_cub_repeats_its_training_photos(cub: Path) -> None:
    found = read("cub", cub, per_class=1)
    train, test = found.select(split="train"), found.select(split="test")
    assert len(train) == 2 * 30
    assert train.table["path"].n_unique() == 2
    assert [path[-5] for path in test.table["path"]] == ["2", "4", "6"]
    assert [item.path[-5] for item in found.skipped] == ["3"]
    assert found.skipped[0].reason == "not in train_test_split_1.txt"
    assert len(read("cub", cub, per_class=1, repeats=1).select(split="train")) == 2


def test_the_command_line_takes_the_part(cub: Path, tmp_path: Path) -> None:
    words = [
        "read",
        "cub",
        str(cub),
        "-o",
        str(tmp_path / "out"),
        "--per-class",
        "1",
        "--repeats",
        "2",
        "--json",
    ]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.exception
    assert json.loads(result.stdout)["splits"]["train"]["images"] == 4
    assert Catalog.load(tmp_path / "out").classes["2"] == "002.Laysan_Albatross"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"per_class": 0}, "per_class: 0 is not from 1 to 30"),
        ({"per_class": 31}, "per_class: 31 is not from 1 to 30"),
        ({"repeats": 0}, "repeats: 0 is less than 1"),
    ],
)
def test_options_out_of_their_range(options: dict[str, int], complaint: str, cub: Path) -> None:
    with pytest.raises(UsageError, match=complaint):
        read("cub", cub, **options)


def test_a_part_that_is_not_there_is_named(cub: Path) -> None:
    with pytest.raises(PerisphereError, match=r"train_test_split_5\.txt: no such list"):
        read("cub", cub, per_class=5)


@pytest.mark.parametrize("name", ["images", "image_class_labels", "train_test_split"])
def test_a_missing_list_is_named(name: str, cub: Path) -> None:
    (cub / f"{name}.txt").unlink()
    with pytest.raises(PerisphereError, match=rf"{name}\.txt: no such list"):
        read("cub", cub)


@pytest.mark.parametrize(
    ("name", "line", "complaint"),
    [
        ("images", "7", r"images\.txt: line 7: '7' is not ID VALUE"),
        ("images", "1 x.jpg", "line 7: the id '1' is there already"),
        ("image_class_labels", "7 two", "the class of image 7, 'two', is no number"),
        ("image_class_labels", "7 3", r"classes\.txt: has no name for class 3"),
        ("train_test_split", "7 yes", "image 7 has 'yes' where 1 or 0 belongs"),
        ("classes", "\udcff x", "not UTF-8"),
        ("classes", "3 \0", "null byte"),
    ],
)
def test_lines_that_are_wrong_are_named(name: str, line: str, complaint: str, cub: Path) -> None:
    with (cub / f"{name}.txt").open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(line + "\n")
    with pytest.raises(PerisphereError, match=complaint):
        read("cub", cub)


def test_lists_that_disagree_are_counted(cub: Path) -> None:
    labels = (cub / "image_class_labels.txt").read_text().splitlines()
    (cub / "image_class_labels.txt").write_text("\n".join([*labels[1:], "99 1"]))
    (cub / "images.txt").write_text((cub / "images.txt").read_text() + "7 ../../x.jpg\n8 001/none.jpg\n")
    found = read("cub", cub)
    assert len(found) == 5
    assert set(found.skipped) == {
        Skipped("99", "named by image_class_labels.txt, but not by images.txt"),
        Skipped("../../x.jpg", "leads out of the folder of photos"),
        Skipped(
            "images/001.Black_footed_Albatross/Black_footed_Albatross_0001_1.jpg",
            "has no class in image_class_labels.txt",
        ),
        Skipped("images/001/none.jpg", "has no class in image_class_labels.txt"),
    }
    with pytest.raises(PerisphereError, match="leave strict out"):
        read("cub", cub, strict=True)


def test_without_names_labels_are_numbers(cub: Path) -> None:
    (cub / "classes.txt").unlink()
    assert set(read("cub", cub).labels()) == {"1", "2"}


@pytest.mark.slow
def test_real_photos_of_cub(shared: Path, tmp_path: Path) -> None:
    """The lists of this part have a comma behind the id, and a 1 for the photos that CUB tests on."""
    with tarfile.open(shared / "data/birds100/birds100-144px.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    found = read("cub", tmp_path, strict=True)
    assert {split: len(found.select(split=split)) for split in found.splits()} == {
        "train": 2903,
        "test": 2999,
    }
    assert len(found.classes) == 100
    assert found.labels()[0] == "Black_footed_Albatross"
