"""Layout ``wikiscenes``: the form in which WikiScenes is published, complete and consistent."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

from perisphere.catalog.scenes import write_scenes
from perisphere.catalog.scenes.parts import PARTS
from perisphere.cli.main import app
from perisphere.errors import UsageError
from perisphere.tags.architecture import AMBIGUOUS, CONCEPTS

WORLD = {"layout": "wikiscenes", "landmarks": 3, "photos": 12, "size": 32, "seed": 6, "workers": 1}
ROOT = "WikiScenes/cathedrals/"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("minsters") / "world"
    summary = write_scenes(out, **WORLD)  # type: ignore[arg-type]
    assert summary.photos_folder == str(out / "wikiscenes")
    assert summary.photos == 36
    return out


@pytest.fixture(scope="module")
def tree(world: Path) -> dict[str, tuple[list[str], dict[str, object]]]:
    """Path of each picture -> names of its categories from the landmark down, and what is said of it."""
    found: dict[str, tuple[list[str], dict[str, object]]] = {}

    def walk(folder: Path, names: list[str]) -> None:
        about = json.loads((folder / "category.json").read_text("utf-8"))
        assert set(about) == {"max_index", "pairs", "pictures"}
        assert about["max_index"] == len(about["pairs"])
        below = {file.name for file in folder.iterdir() if file.is_dir()} - {"pictures"}
        assert below == set(about["pairs"].values()) == {str(k) for k in range(len(below))}
        here = {file.name for file in (folder / "pictures").iterdir()} if about["pictures"] else set()
        assert here == set(about["pictures"])
        assert (folder / "pictures").exists() == bool(here)
        for name, facts in about["pictures"].items():
            assert set(facts) == {"caption", "url", "properties"}
            path = (folder / "pictures" / name).relative_to(world / "wikiscenes" / ROOT)
            found[path.as_posix()] = (names, facts)
        for name, number in about["pairs"].items():
            walk(folder / number, [*names, name])

    walk(world / "wikiscenes" / ROOT, [])
    return found


def rows(world: Path, split: str) -> Iterator[tuple[str, list[str], str, str]]:
    (file,) = (world / "wikiscenes" / "data").glob(f"{split}_10classes_*.txt")
    lines = file.read_text("utf-8").splitlines()
    landmarks = {line.split("/")[2] for line in lines}
    assert file.name == f"{split}_10classes_{len(lines)}_{len(landmarks)}landmark.txt"
    for line in lines:
        path, labels, caption, categories = line.split(":")
        yield path.removeprefix(ROOT), ast.literal_eval(labels), caption, categories


def test_the_tree_holds_every_photo(world: Path, tree) -> None:
    assert len(tree) == 36
    assert {path.split("/")[0] for path in tree} == {"0", "1", "2"}
    for path, (names, facts) in tree.items():
        with Image.open(world / "wikiscenes" / ROOT / path) as image:
            assert image.format == "JPEG"
            assert image.size == (32, 32)
        assert len(names) == len(path.split("/")) - 2
        assert names[0] == names[0].lower()
        assert facts["url"].endswith(Path(path).name)


def test_lists_are_of_the_published_form(world: Path, tree) -> None:
    of: dict[str, set[str]] = {}
    for split in ("train", "val_easy", "val"):
        for path, labels, caption, categories in rows(world, split):
            names, facts = tree[path]
            assert labels
            assert set(labels) <= set(CONCEPTS)
            assert caption == str(facts["caption"]).replace(":", "")[:100]
            assert categories == ", ".join(names[1:])
            of.setdefault(split, set()).add(path)
    assert not of["train"] & of.get("val_easy", set())
    # Landmark 2 of three is unseen: 0.25 of three, and one at least.
    assert {path.split("/")[0] for path in of["val"]} == {"2"}
    assert {path.split("/")[0] for path in of["train"] | of.get("val_easy", set())} == {"0", "1"}
    subjects = pl.read_csv(world / "truth" / "subjects.csv")
    listed = set().union(*of.values())
    for path, split, subject in subjects.select("path", "split", "subject").rows():
        assert (path in listed) == bool(subject) == bool(split)
        assert not split or path in of[split]


def test_correspondences_are_shares_of_the_picture(world: Path, tree) -> None:
    table = json.loads((world / "wikiscenes" / "correspondence.json").read_text("utf-8"))
    assert set(table) == set(tree)
    owner: dict[str, str] = {}
    for path, points in table.items():
        for point, (x, y) in points.items():
            assert 0 <= x <= 1
            assert 0 <= y <= 1
            assert owner.setdefault(point, path.split("/")[0]) == path.split("/")[0]
    truth = pl.read_parquet(world / "truth" / "keypoints.parquet")
    assert truth.height == sum(map(len, table.values()))
    path, point, x = truth.filter(pl.col("path").str.starts_with("1/")).select("path", "point", "x").row(0)
    assert table[path][str(1_000_000 + point)][0] == pytest.approx(x / 32, abs=1e-5)


def test_unseen_landmarks_have_true_masks(world: Path, tree) -> None:
    lines = (world / "wikiscenes" / "data" / "wikiscenes_val.txt").read_text().splitlines()
    assert len(lines) == 12
    unseen = {(world / "wikiscenes" / ROOT / path).read_bytes() for path in tree if path.startswith("2/")}
    masks = []
    for line in lines:
        image, mask = line.split(" ")
        assert (world / "wikiscenes" / image).read_bytes() in unseen
        with Image.open(world / "wikiscenes" / mask) as picture:
            assert picture.mode == "L"
            masks.append(np.asarray(picture))
    values = np.unique(masks)
    assert set(values) <= {*range(11), AMBIGUOUS}
    assert len(values) > 8


def test_truth_has_a_concept_mask_for_every_photo(world: Path, tree) -> None:
    subjects = pl.read_csv(world / "truth" / "subjects.csv")
    for path, subject, seen in subjects.select("path", "subject", "concepts").rows():
        mask = np.asarray(Image.open(world / "truth" / "concepts" / Path(path).with_suffix(".png")))
        parts = np.asarray(Image.open(world / "truth" / "masks" / Path(path).with_suffix(".png")))
        assert mask.shape == parts.shape == (32, 32)
        if subject:
            assert (mask == CONCEPTS.index(subject) + 1).any()
        for pair in (seen or "").split():
            name, share = pair.split("=")
            assert (mask == CONCEPTS.index(name) + 1).mean() == pytest.approx(float(share), abs=6e-4)
    legend = json.loads((world / "truth" / "parts.json").read_text())
    assert list(legend.values()) == list(PARTS)


def test_the_same_seed_writes_the_same_bytes(world: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path / "again", **{**WORLD, "truth": False})  # type: ignore[arg-type]
    assert not (tmp_path / "again" / "truth").exists()
    files = [file for file in (world / "wikiscenes").rglob("*") if file.is_file()]
    assert len(files) > 70
    for file in files:
        assert (tmp_path / "again" / file.relative_to(world)).read_bytes() == file.read_bytes()


def test_all_or_no_landmarks_can_be_unseen(tmp_path: Path) -> None:
    small = {**WORLD, "landmarks": 1, "photos": 2, "size": 16, "truth": False}
    for unseen, split in ((0.0, "val"), (1.0, "train")):
        out = tmp_path / split
        write_scenes(out, **small, unseen=unseen)  # type: ignore[arg-type]
        assert list(rows(out, split)) == []
        assert (out / "wikiscenes" / "val_seg").exists() == bool(unseen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unseen": 1.5}, "--unseen 1.5: must be from 0 to 1."),
        ({"unseen": float("nan")}, "--unseen nan: must be from 0 to 1."),
        (
            {"unseen": 0.5, "layout": "tags"},
            "--unseen: --layout tags keeps no landmarks apart; wikiscenes does.",
        ),
        ({"cameras": 3}, "--cameras: --layout wikiscenes has no fixed cameras; market1501 has."),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path: Path, options, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write_scenes(tmp_path / "out", **{**WORLD, **options})
    assert list(tmp_path.iterdir()) == []


def test_unseen_is_an_option(tmp_path: Path) -> None:
    words = ["scenes", str(tmp_path / "out"), "--layout", "wikiscenes", "--landmarks", "1", "--photos", "1"]
    done = CliRunner().invoke(app, [*words, "--size", "16", "--workers", "1", "--unseen", "1", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "out" / "scenes.json").read_text())["unseen"] == 1
    assert (tmp_path / "out" / "wikiscenes" / "val_seg" / "masks" / "0.png").exists()
