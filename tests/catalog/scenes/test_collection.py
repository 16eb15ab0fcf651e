import csv
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

import perisphere.cli.scenes  # noqa: F401
from perisphere.catalog.readers import read
from perisphere.catalog.scenes import DIFFICULTIES, PARTS, take_photo, write_scenes
from perisphere.catalog.scenes.layouts import layout as layout_module
from perisphere.catalog.scenes.parts import EXTERIOR
from perisphere.cli.main import app
from perisphere.errors import PerisphereError, UsageError

SMALL = {"landmarks": 2, "photos": 12, "size": 32, "seed": 5}


def digests(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scenes") / "world"
    write_scenes(out, **SMALL, workers=1)
    return out


def test_bytes_do_not_depend_on_workers(world: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path / "two", **SMALL, workers=2)
    assert digests(tmp_path / "two") == digests(world)


def test_another_seed_is_another_world(world: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path / "other", **{**SMALL, "seed": 6, "photos": 2}, workers=1)
    assert not set(digests(tmp_path / "other" / "photos").values()) & set(digests(world / "photos").values())


def test_more_photos_keep_the_first_ones(world: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path / "few", **{**SMALL, "landmarks": 1, "photos": 3}, workers=1)
    few, many = digests(tmp_path / "few" / "photos"), digests(world / "photos")
    assert len(few) == 3
    assert few.items() <= many.items()


def test_photos_lie_below_family_style_and_landmark_and_decode(world: Path) -> None:
    files = [file for file in (world / "photos").rglob("*") if file.is_file()]
    assert len(files) == SMALL["landmarks"] * SMALL["photos"]
    for file in files:
        assert len(file.relative_to(world / "photos").parts) == 4
        with Image.open(file) as image:
            assert image.format == "JPEG"
            assert np.asarray(image).shape == (32, 32, 3)


def test_the_folders_reader_reads_it_back(world: Path) -> None:
    catalog = read("folders", world / "photos", workers=1)
    assert len(catalog) == SMALL["landmarks"] * SMALL["photos"]
    assert catalog.skipped == []
    for label, categories, path in catalog.table.select("label", "categories", "path").iter_rows():
        assert Path(path).parts[:-1] == tuple(categories)
        assert label == categories[-1]


def test_taxonomy_names_every_folder_and_each_child_once(world: Path) -> None:
    edges = [line.split("\t") for line in (world / "taxonomy.txt").read_text().splitlines()]
    parent = {child: above for above, child in edges}
    assert len(parent) == len(edges)
    for folder in {file.parent for file in (world / "photos").rglob("*.jpg")}:
        family, style, label = folder.relative_to(world / "photos").parts
        assert parent[label] == f"{family}/{style}"
        assert parent[f"{family}/{style}"] == family
        assert parent[family] == "root"


def test_truth_covers_every_photo(world: Path) -> None:
    photos = {file.relative_to(world / "photos").as_posix() for file in (world / "photos").rglob("*.jpg")}
    with (world / "truth" / "captions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["path"] for row in rows} == photos
    assert all(row["caption"].endswith(".") and row["tags"] is not None for row in rows)
    legend = json.loads((world / "truth" / "parts.json").read_text())
    assert [legend[str(k)] for k in range(len(legend))] == list(EXTERIOR)
    for path in photos:
        mask = np.asarray(Image.open(world / "truth" / "masks" / Path(path).with_suffix(".png")))
        assert mask.shape == (32, 32)
        assert mask.max() < len(PARTS)
    keypoints = pl.read_parquet(world / "truth" / "keypoints.parquet")
    assert set(keypoints["path"]) <= photos
    assert keypoints.select(((pl.col("x") >= 0) & (pl.col("x") < 32) & (pl.col("y") < 32)).all()).item()
    points = pl.read_parquet(world / "truth" / "points.parquet")
    assert keypoints.join(points, on=["label", "point"]).height == keypoints.height


def test_the_csv_reader_takes_the_captions_and_parts_the_tags(world: Path) -> None:
    found = read("csv", world / "truth" / "captions.csv", images=world / "photos").table
    assert found["caption"].null_count() == 0
    tags = found["tags"].explode().drop_nulls().to_list()
    assert {"church", "dome", "portal", "tower"} & set(tags)
    assert max(map(len, tags)) < 25


def test_without_truth_only_photos(tmp_path: Path) -> None:
    write_scenes(tmp_path / "bare", landmarks=1, photos=1, size=32, workers=1, truth=False)
    assert sorted(path.name for path in (tmp_path / "bare").iterdir()) == [
        "photos",
        "scenes.json",
        "taxonomy.txt",
    ]


def test_a_full_folder_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(PerisphereError, match="--overwrite"):
        write_scenes(tmp_path, landmarks=1, photos=1, size=32, workers=1)
    with pytest.raises(PerisphereError, match="did not write"):
        write_scenes(tmp_path, landmarks=1, photos=1, size=32, workers=1, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_overwrite_and_empty_folders_are_fine(tmp_path: Path) -> None:
    out = tmp_path / "world"
    out.mkdir()
    write_scenes(out, landmarks=1, photos=1, size=32, workers=1, truth=False)
    write_scenes(out, landmarks=1, photos=2, size=32, workers=1, truth=False, overwrite=True)
    assert len(list(out.rglob("*.jpg"))) == 2


def test_an_interrupted_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, number: int = 0, **options: object) -> None:
        if args[-1] == 2:
            raise KeyboardInterrupt
        return take_photo(*args, **options)  # type: ignore[arg-type, return-value]

    monkeypatch.setattr(layout_module, "take_photo", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_scenes(tmp_path / "world", landmarks=1, photos=5, size=32, workers=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("layout", "foldrs", "Did you mean 'folders'"),
        ("difficulty", "hart", "Did you mean 'hard'"),
        ("size", 3, "--size 3"),
        ("photos", 0, "--photos 0"),
        ("seed", -1, "--seed -1"),
    ],
)
def test_wrong_words_name_the_option(tmp_path: Path, option: str, value: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write_scenes(tmp_path / "world", **{option: value})  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_command_line_prints_a_summary(tmp_path: Path) -> None:
    out = tmp_path / "world"
    words = [
        "scenes",
        str(out),
        "--landmarks",
        "1",
        "--photos",
        "2",
        "--size",
        "32",
        "--workers",
        "1",
        "--json",
    ]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["photos"] == 2
    assert len(list(Path(summary["photos_folder"]).rglob("*.jpg"))) == 2


def test_harder_is_harder_for_raw_pixels() -> None:
    """Nearest neighbour on raw pixels names the landmark less often, the harder the collection."""
    assert nearest_pixels("easy") > nearest_pixels("hard") + 0.1


def nearest_pixels(difficulty: str) -> float:
    assert difficulty in DIFFICULTIES
    rows, labels = [], []
    for landmark in range(6):
        for number in range(7):
            pixels = take_photo(3, landmark, number, size=32, difficulty=difficulty).pixels
            rows.append(cv2.resize(pixels, (16, 16), interpolation=cv2.INTER_AREA).ravel() / 255)
            labels.append(landmark)
    table, names = np.array(rows), np.array(labels)
    distance = ((table[:, None] - table[None]) ** 2).sum(2)
    np.fill_diagonal(distance, np.inf)
    return float((names[distance.argmin(1)] == names).mean())
