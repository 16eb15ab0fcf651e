import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

import perisphere.cli.scenes  # noqa: F401
from perisphere.catalog import Catalog
from perisphere.catalog.ground_truth import GroundTruth, read_ground_truth
from perisphere.catalog.readers import read
from perisphere.catalog.scenes import write_scenes
from perisphere.catalog.scenes.layouts import relevance
from perisphere.catalog.scenes.layouts.relevance import Shot, choose_queries, classic_lists, revisited_lists
from perisphere.cli.main import app
from perisphere.errors import PerisphereError

LANDMARKS, PHOTOS = 2, 12
WORLD = {"landmarks": LANDMARKS, "photos": PHOTOS, "size": 64, "seed": 3, "difficulty": "easy"}


def written(tmp_path_factory: pytest.TempPathFactory, layout: str) -> Path:
    out = tmp_path_factory.mktemp("scenes") / "world"
    summary = write_scenes(out, layout=layout, **WORLD, workers=1)  # type: ignore[arg-type]
    assert summary.photos_folder == str(out / layout)
    return out


@pytest.fixture(scope="module", params=["oxford5k", "paris6k"])
def classic(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return request.param, written(tmp_path_factory, request.param)


@pytest.fixture(scope="module")
def revisited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory, "revisited")


@pytest.fixture(scope="module")
def gldv2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory, "gldv2")


def check_lists(found: Catalog, truth: GroundTruth) -> None:
    """Every listed photo is one of the query's landmark, in one list, and all of them are listed."""
    label = dict(found.table.select(pl.col("path").str.split("/").list.last(), "label").rows())
    gallery = {Path(path).name for path in found.select(split="index").table["path"]}
    for query, lists in zip(truth.queries, truth.lists, strict=True):
        named = [f"{name}.jpg" for names in lists.values() for name in names]
        assert len(named) == len(set(named))
        own = label[f"{query}.jpg"]
        assert set(named) == {name for name in gallery if label[name] == own}
    assert any(lists["junk"] for lists in truth.lists)


def check_boxes(found: Catalog, out: Path) -> None:
    """Each query's box spans exactly what its mask shows of the building."""
    queries = found.select(split="query").table
    for path, box in queries.select("path", "box").iter_rows():
        building = np.asarray(Image.open(out / "truth/masks" / Path(path).with_suffix(".png"))) > 5
        rows, columns = np.flatnonzero(building.any(1)), np.flatnonzero(building.any(0))
        assert box == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert any(box != [0, 0, 64, 64] for box in queries["box"].to_list())


def test_the_classic_readers_read_their_layouts_back(classic: tuple[str, Path]) -> None:
    layout, out = classic
    found = read(layout, out / layout, workers=1, strict=True)
    index, queries = found.select(split="index"), found.select(split="query")
    assert len(index) == LANDMARKS * PHOTOS
    assert len(queries) == LANDMARKS * 3
    assert set(queries.table["path"]) <= set(index.table["path"])
    assert found.table["label"].n_unique() == LANDMARKS
    assert found.table["label"].str.starts_with("paris_").all() == (layout == "paris6k")
    truth = read_ground_truth(out / layout / "gt")
    assert [Path(path).stem for path in queries.table["path"]] == list(truth.queries)
    check_lists(found, truth)
    check_boxes(found, out)
    for query, lists in zip(truth.queries, truth.lists, strict=True):
        assert query in lists["ok"]


def test_the_revisited_reader_reads_its_layout_back(revisited: Path) -> None:
    found = read("revisited", revisited / "revisited", workers=1, strict=True)
    truth = read_ground_truth(revisited / "revisited/gnd_scenes.pkl")
    index, queries = found.select(split="index"), found.select(split="query")
    assert len(index) + len(queries) == LANDMARKS * PHOTOS
    assert not set(queries.table["path"]) & set(index.table["path"])
    assert [Path(path).stem for path in index.table["path"]] == list(truth.gallery or ())
    assert [Path(path).stem for path in queries.table["path"]] == list(truth.queries)
    check_lists(found, truth)
    check_boxes(found, revisited)
    assert any(lists["easy"] for lists in truth.lists)


def test_the_landmarks_v2_reader_reads_its_layout_back(gldv2: Path) -> None:
    found = read("gldv2", gldv2 / "gldv2", workers=1)
    truth = read_ground_truth(gldv2 / "gldv2/retrieval_solution_v2.1.csv")
    counts = dict(found.table.group_by("split").len().rows())
    assert counts["train"] == LANDMARKS * PHOTOS / 2
    assert counts["index"] == LANDMARKS * 4
    ignored = [item for item in found.skipped if item.reason == "query that the ground truth ignores"]
    assert counts["query"] + len(ignored) == LANDMARKS * 2
    assert [Path(path).stem for path in found.select(split="query").table["path"]] == list(truth.queries)
    assert set(found.select(split="train").labels()) == {"0", "1"}
    with (gldv2 / "truth/captions.csv").open() as file:
        label = {Path(row["path"]).stem: row["label"] for row in csv.DictReader(file)}
    index = {Path(path).stem for path in found.select(split="index").table["path"]}
    for query, lists in zip(truth.queries, truth.lists, strict=True):
        assert set(lists["ok"]) == {name for name in index if label[name] == label[query]}


@pytest.mark.parametrize("layout", ["revisited", "gldv2"])
def test_bytes_do_not_depend_on_workers_nor_on_truth(layout: str, tmp_path: Path) -> None:
    few = {**WORLD, "landmarks": 1, "photos": 11, "size": 32}
    write_scenes(tmp_path / "one", layout=layout, **few, workers=1, truth=False)  # type: ignore[arg-type]
    write_scenes(tmp_path / "two", layout=layout, **few, workers=2)  # type: ignore[arg-type]
    found = [digests(tmp_path / name / layout) for name in ("one", "two")]
    assert found[0] == found[1]
    assert not (tmp_path / "one/truth").exists()


def digests(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def shot(name: str, points: range, *, view: str = "front", daylight: bool = True, label: str = "a") -> Shot:
    return Shot(name, label, view, daylight, frozenset(points), (0, 0, 9, 9))


def test_lists_follow_the_share_of_the_querys_points() -> None:
    query = shot("q", range(20))
    shots = [
        query,
        shot("same", range(10, 99)),
        shot("night", range(10, 99), daylight=False),
        shot("part", range(15, 99)),
        shot("edge", range(16, 99)),
        shot("none", range(0)),
        shot("other", range(20), label="b"),
    ]
    assert classic_lists(query, shots) == {
        "good": ["q", "same", "night"],
        "ok": ["part"],
        "junk": ["edge", "none"],
    }
    assert revisited_lists(query, shots) == {"easy": [0, 1], "hard": [2, 3], "junk": [4, 5]}


def test_queries_are_few_show_much_and_differ_in_view() -> None:
    shots = [shot(f"a{k}", range(30 - k), view="front" if k < 9 else "left") for k in range(16)]
    shots += [shot("far", range(60), view="far"), shot("night", range(60), view="left", daylight=False)]
    shots += [shot(f"b{k}", range(relevance.ENOUGH - 1), label="b") for k in range(8)]
    assert [query.name for query in choose_queries(shots)] == ["a0", "a9", "a1", "a10"]
    with pytest.raises(PerisphereError, match="there is no query"):
        choose_queries([item for item in shots if item.label == "b"])


def test_a_collection_without_queries_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    for layout in ("revisited", "gldv2"):
        with pytest.raises(PerisphereError, match="Take more --photos"):
            write_scenes(tmp_path / "world", layout=layout, landmarks=1, photos=1, size=16, workers=1)
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_names_the_folder_to_read(tmp_path: Path) -> None:
    words = ["--landmarks", "1", "--photos", "4", "--size", "48", "--workers", "1", "--difficulty", "easy"]
    out = tmp_path / "world"
    result = CliRunner().invoke(app, ["scenes", str(out), "--layout", "oxford5k", *words, "--json"])
    assert result.exit_code == 0, result.output
    assert len(read("oxford5k", Path(json.loads(result.stdout)["photos_folder"]))) == 5
