import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import perisphere.cli.read
from perisphere.catalog import Catalog
from perisphere.catalog.readers import READERS, reader_options
from perisphere.cli.main import app
from perisphere.errors import PerisphereError, UsageError


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["read", *map(str, words)])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("train/dome/a.jpg", "train/tower/b.png", "val/dome/c.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((12, 16, 3), np.uint8)).save(tmp_path / "photos" / name)
    (tmp_path / "photos/val/dome/bad.jpg").write_bytes(b"")
    return tmp_path / "photos"


def test_read_writes_a_catalog_and_says_what_is_in_it(photos: Path, tmp_path: Path) -> None:
    result = run("folders", photos, "-o", tmp_path / "catalog")
    assert result.exit_code == 0, result.exception
    assert "3 images, 2 classes" in result.stdout
    assert "1 x empty file" in result.stdout
    assert len(Catalog.load(tmp_path / "catalog")) == 3


def test_read_names_the_first_skipped_files_and_where_all_are(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "catalog"
    assert run("folders", photos, "-o", out).stdout.splitlines()[-1] == (
        "skipped val/dome/bad.jpg: empty file (0 bytes)"
    )
    for number in range(6):
        (photos / f"train/dome/text{number}.jpg").write_text("hello")
    lines = run("folders", photos, "-o", out, "--overwrite").stdout.splitlines()
    assert sum(line.startswith("skipped train/dome/text") for line in lines) == 5
    assert lines[-1] == f"... 7 skipped in all, listed in {out / 'catalog.json'}"


def test_json_is_json(photos: Path, tmp_path: Path) -> None:
    facts = json.loads(run("folders", photos, "-o", tmp_path / "catalog", "--json").stdout)
    assert facts["splits"] == {"train": {"images": 2, "classes": 2}, "val": {"images": 1, "classes": 1}}
    assert facts["skipped"] == {"empty file": 1}
    assert facts["width"] == {"min": 16, "median": 16.0, "max": 16}


def test_strict_writes_nothing(photos: Path, tmp_path: Path) -> None:
    result = run("folders", photos, "-o", tmp_path / "catalog", "--strict")
    assert isinstance(result.exception, PerisphereError)
    assert "bad.jpg: empty file" in str(result.exception)
    assert not (tmp_path / "catalog").exists()


def test_columns_are_options(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("f;l;t\ntrain/dome/a.jpg;x;p+q\n")
    words = [
        "--path-column",
        "f",
        "--label-column",
        "l",
        "--tags-column",
        "t",
        "--separator",
        "+",
        "--delimiter",
        ";",
    ]
    result = run("csv", tmp_path / "list.csv", "-o", tmp_path / "catalog", "--images", photos, *words)
    assert result.exit_code == 0, result.exception
    assert Catalog.load(tmp_path / "catalog").table.select("label", "tags").rows() == [("x", ["p", "q"])]


@pytest.mark.parametrize("format", list(READERS))
def test_every_option_of_a_reader_is_offered(format: str) -> None:
    assert set(reader_options(format)) <= set(perisphere.cli.read.read.__annotations__)


def test_options_of_three_files_reach_the_reader(photos: Path, tmp_path: Path) -> None:
    files = []
    for split, pairs in (("train", []), ("query", []), ("gallery", [3, 4])):
        images = [{"id": pair, "file_name": f"{pair}.jpg"} for pair in pairs]
        annotations = [
            {"image_id": pair, "pair_id": pair, "source": "shop", "bbox": [8, 0, 60, 4]} for pair in pairs
        ]
        (tmp_path / split).write_text(json.dumps({"images": images, "annotations": annotations}))
        files += [f"--{split}", tmp_path / split]
        for pair in pairs:
            (photos / split).mkdir(exist_ok=True)
            Image.new("RGB", (16, 12)).save(photos / split / f"{pair}.jpg")
    result = run("fashion", photos, "-o", tmp_path / "catalog", *files)
    assert result.exit_code == 0, result.exception
    assert "2 x box cut at the edge of its image: gallery/3.jpg, gallery/4.jpg" in result.stdout
    assert Catalog.load(tmp_path / "catalog").labels() == ["3", "4"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (
            ["folders", "photos", "-o", "out", "--path-column", "x"],
            "takes no option 'path_column'. It belongs to csv",
        ),
        (["folder", "photos", "-o", "out"], "Did you mean 'folders'"),
        (["folders", "photos"], "-o CATALOG is missing"),
        (["folders"], "ROOT is missing"),
        ([], "FORMAT is missing"),
    ],
)
def test_wrong_words(words: list[str], complaint: str) -> None:
    result = run(*words)
    assert isinstance(result.exception, UsageError)
    assert complaint in str(result.exception)


def test_list_names_every_format() -> None:
    from perisphere.catalog.readers import READERS

    text = run("--list").stdout
    assert all(name in text and reader.layout in text for name, reader in READERS.items())
    formats = json.loads(run("--list", "--json").stdout)
    assert set(formats) == set(READERS)
    assert "path_column" in formats["csv"]["options"]


def test_overwrite(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "catalog"
    run("folders", photos, "-o", out)
    refusal = run("images", photos, "-o", out).exception
    assert type(refusal) is PerisphereError
    assert "exists already" in str(refusal)
    assert run("images", photos, "-o", out, "--overwrite").exit_code == 0
    assert Catalog.load(out).source["format"] == "images"


def test_ground_truth_and_lists_of_names_are_options(photos: Path, tmp_path: Path) -> None:
    truth = {"imlist": ["a", "b"], "qimlist": ["c"], "gnd": [{"easy": [0], "hard": [], "junk": [1]}]}
    (tmp_path / "gnd_test.json").write_text(json.dumps(truth))
    result = run("revisited", photos, "--truth", tmp_path / "gnd_test.json", "-o", tmp_path / "catalog")
    assert result.exit_code == 0, result.exception
    rows = Catalog.load(tmp_path / "catalog").table.select("path", "split").rows()
    assert rows == [
        ("train/dome/a.jpg", "index"),
        ("train/tower/b.png", "index"),
        ("val/dome/c.jpg", "query"),
    ]
    (tmp_path / "names.txt").write_text("val/dome/c.jpg\n")
    assert run("distractors", photos, "--names", tmp_path / "names.txt", "-o", tmp_path / "d").exit_code == 0
    assert Catalog.load(tmp_path / "d").splits() == ["distractor"]


@pytest.mark.parametrize("format", ["folders", "csv"])
def test_ground_truth_for_a_format_that_takes_none_is_refused(
    photos: Path, tmp_path: Path, format: str
) -> None:
    result = run(format, photos, "--truth", tmp_path, "-o", tmp_path / "catalog")
    assert isinstance(result.exception, UsageError)
    assert "It belongs to oxford5k" in str(result.exception)


def test_options_of_collections_with_tags_reach_the_reader(photos: Path, tmp_path: Path) -> None:
    (photos / "test.txt").write_text("gone.jpg 1 0\n")
    (photos / "names.txt").write_text("sky\nsea\n")
    words = ("hashing-lists", photos, "-o", tmp_path / "a", "--without-photos")
    facts = json.loads(run(*words, "--concepts", photos / "names.txt", "--json").stdout)
    assert (facts["images"], facts["concepts"], facts["width"]) == (1, 1, None)
    assert Catalog.load(tmp_path / "a").table["concepts"].to_list() == [["sky"]]
    result = run("mirflickr", photos, "-o", tmp_path / "b", "--variant", "some")
    assert "--variant 'some': is not potential" in str(result.exception)
    result = run("nuswide-original", photos, "-o", tmp_path / "b", "--tag-list", "2k")
    assert "--tag-list '2k': is not all or 1k" in str(result.exception)


def test_wikiscenes_by_its_options(photos: Path, tmp_path: Path) -> None:
    top = tmp_path / "root/WikiScenes/chapels"
    (top / "0/pictures").mkdir(parents=True)
    (top / "category.json").write_text('{"pairs": {"old dom": "0"}, "pictures": {}}')
    (top / "0/category.json").write_text('{"pairs": {}, "pictures": {"a.jpg": {"caption": "west"}}}')
    (photos / "train/dome/a.jpg").rename(top / "0/pictures/a.jpg")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/val_1.txt").write_text("WikiScenes/chapels/0/pictures/a.jpg:['tower']::")
    (tmp_path / "points.json").write_text('{"0/pictures/a.jpg": {"3": [0.5, 0.5]}}')
    Image.fromarray(np.ones((12, 16), np.uint8)).save(tmp_path / "lists/0.png")
    (tmp_path / "lists/0/pictures").mkdir(parents=True)
    (tmp_path / "lists/0.png").rename(tmp_path / "lists/0/pictures/a.png")
    words = ["wikiscenes", tmp_path / "root", "--kind", "chapels", "--lists", tmp_path / "lists"]
    more = ["--correspondences", tmp_path / "points.json", "--masks", tmp_path / "lists"]
    facts = json.loads(run(*words, *more, "-o", tmp_path / "catalog", "--json").stdout)
    assert (facts["images"], facts["keypoints"], facts["masks"]) == (1, 1, 1)
    assert facts["splits"] == {"test": {"images": 1, "classes": 1}}
    result = run(*words, *more, "--colmap", tmp_path / "lists", "-o", tmp_path / "other")
    assert "both hold keypoints" in str(result.exception)
    assert not (tmp_path / "other").exists()
