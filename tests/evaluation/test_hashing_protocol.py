import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose

from perisphere.codes.code_folder import CodeFolder
from perisphere.codes.codebooks import Codebooks
from perisphere.errors import PerisphereError
from perisphere.evaluation import Points, Report
from perisphere.evaluation.concepts import concepts_of
from perisphere.evaluation.features import PointFeatures
from perisphere.evaluation.hashing import encode, judge_hashing
from perisphere.evaluation.plots import draw
from perisphere.evaluation.rankings_table import rankings_table, write_places


def collection(vectors, concepts, splits, labels=None, lengths=None, **extra):
    n = len(vectors)
    rows = pl.DataFrame(
        {"id": range(n), "split": splits, "label": labels or [None] * n, "concepts": concepts},
        schema={"id": pl.Int64, "split": pl.String, "label": pl.String, "concepts": pl.List(pl.String)},
    )
    return Points(np.asarray(vectors), rows, "somewhere", {"name": "e"} | extra, lengths=lengths)


@pytest.fixture(scope="module", autouse=True)
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("perisphere.metrics.hashing_figures.TIMED_SECONDS", 0.001)
        yield


@pytest.fixture(scope="module")
def golden(shared):
    return json.loads((shared / "golden" / "quantization.json").read_text())["cases"]


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_published_figures_of_raw_features(golden, name):
    """As `perisphere embed` leaves them: unit rows and lengths; codebooks that are not made for unit rows."""
    case = golden[name]
    found = case["retrieval"]
    raw = np.array(found["query"] + found["database"], np.float32)
    has = np.array(found["query_labels"] + found["database_labels"])
    lengths = np.linalg.norm(raw, axis=1)
    splits = ["query"] * len(found["query"]) + ["gallery"] * len(found["database"])
    concepts = [[f"c{number}" for number in np.flatnonzero(row)] for row in has]
    points = collection(raw / lengths[:, None], concepts, splits, lengths=lengths)
    words = np.array(case["codebooks"], np.float32).reshape(case["books"], case["words"], -1)
    books = Codebooks(words, "additive", unit=False)
    wanted = {name: value for name, value in found["map"].items() if not name.startswith("SQD")}
    depths = sorted({int(name.partition("@")[2]) for name in wanted})
    codes = np.array(found["database_codes"], np.uint8)
    report = judge_hashing(points, codebooks=books, codes=codes, depths=depths)
    for name, value in wanted.items():
        kind, depth = name.split("@")
        kind = {"feats": "float", "AQD": "asymmetric"}[kind]
        assert report.values[f"{kind} MAP@{depth}"] == pytest.approx(value, abs=1e-6)
    assert report.values["float queries counted@5"] == found["queries_counted_at_5"]
    assert "as published" in report.conventions["ties"]


def clusters(seed=0, n=400, d=12, noise=0.5):
    """Photos near one or two of six directions, which are their concepts; every tenth asks."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((6, d))
    chosen = [rng.choice(6, rng.integers(1, 3), replace=False) for _ in range(n)]
    vectors = np.array([centres[of].sum(0) for of in chosen]) + rng.standard_normal((n, d)) * noise
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    concepts = [[f"c{number}" for number in of] for of in chosen]
    return vectors, concepts, ["query" if row % 10 == 0 else "gallery" for row in range(n)]


def random_books(vectors, books=2, words=16, seed=0):
    """Product codebooks whose words are slices of the vectors."""
    rng = np.random.default_rng(seed)
    found = np.zeros((books, words, vectors.shape[1]), np.float32)
    for book, part in enumerate(np.array_split(np.arange(vectors.shape[1]), books)):
        found[book][:, part] = vectors[rng.choice(len(vectors), words, replace=False)][:, part]
    return Codebooks(found, "product")


@pytest.mark.parametrize("ties", ["database", "expected"])
def test_codes_cost_something_and_more_books_cost_less(ties):
    vectors, concepts, splits = clusters()
    points = collection(vectors, concepts, splits)
    found = [
        judge_hashing(points, codebooks=random_books(vectors, books), depths=(50,), ties=ties).values
        for books in (1, 4)
    ]
    chance = np.mean([bool(set(a) & set(b)) for a in concepts[::10] for b in concepts])
    assert found[0]["float MAP@50"] == found[1]["float MAP@50"] > 0.9
    one, four = (values["asymmetric MAP@50"] for values in found)
    assert chance < one < found[0]["float MAP@50"]
    assert one < four
    assert [values["asymmetric bytes an image"] for values in found] == [1, 4]
    assert found[0]["float bytes an image"] == 48
    assert all(value > 0 for name, value in found[0].items() if name.endswith("queries a second"))


def test_codes_that_lose_nothing_rank_as_floats_do():
    """As many words as photos: every photo is its own codeword."""
    vectors, concepts, splits = clusters(n=200)
    points = collection(vectors, concepts, splits)
    values = judge_hashing(points, codebooks=Codebooks(vectors[None], "additive"), depths=(30,)).values
    for figure in ("MAP@30", "strict MAP@30", "precision@30", "recall@30"):
        assert values[f"asymmetric {figure}"] == pytest.approx(values[f"float {figure}"])
        assert values[f"symmetric {figure}"] == pytest.approx(values[f"float {figure}"])


def test_a_rotation_of_the_sphere_changes_no_figure():
    vectors, concepts, splits = clusters(1)
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((12, 12)))[0].astype(np.float32)
    books = random_books(vectors)
    turned = Codebooks(books.words @ turn, "additive")
    codes = encode(PointFeatures.of(collection(vectors, concepts, splits), unit=True), books)
    gallery = codes[np.array(splits) == "gallery"]
    kept = [
        judge_hashing(collection(rows, concepts, splits), codebooks=each, codes=gallery, depths=(40,)).values
        for rows, each in ((vectors, books), (vectors @ turn, turned))
    ]
    for name in ("float MAP@40", "asymmetric MAP@40"):
        assert kept[0][name] == pytest.approx(kept[1][name], abs=2e-3)


def test_a_folder_of_queries_and_one_of_the_gallery_give_the_same_as_one_folder():
    vectors, concepts, splits = clusters()
    points = collection(vectors, concepts, splits)
    asked, shown = points.of_split(["query"]), points.of_split(["gallery"])
    books = random_books(vectors)
    one, two = (
        judge_hashing(*sides, codebooks=books, depths=(20,)).values for sides in ((points,), (asked, shown))
    )
    same = [name for name in one if not name.endswith("second")]
    assert len(same) == 18
    assert {name: one[name] for name in same} == {name: two[name] for name in same}


def test_vectors_of_half_precision_or_other_lengths_are_brought_to_length_1():
    vectors, concepts, splits = clusters()
    plain = judge_hashing(collection(vectors, concepts, splits), depths=(20,)).values["float MAP@20"]
    long = judge_hashing(collection(vectors * 3, concepts, splits), depths=(20,)).values["float MAP@20"]
    half = collection(vectors.astype(np.float16), concepts, splits)
    assert long == pytest.approx(plain)
    values = judge_hashing(half, depths=(20,)).values
    assert values["float MAP@20"] == pytest.approx(plain, abs=0.01)
    assert values["float bytes an image"] == 24


def test_a_query_that_is_searched_too_is_not_found_for_itself():
    vectors, _, splits = clusters(n=60)
    points = collection(vectors, [[f"own {row}"] for row in range(59)] + [["own 0"]], splits)
    values = judge_hashing(points, query=("query", "gallery"), gallery=("query", "gallery"), depths=(60,))
    assert values.counts["queries_without_relevant"] == 58
    assert values.values["float recall@60"] == 1


def test_concepts_fall_back_to_the_label():
    points = collection(np.zeros((4, 2)), [["a", "b"], [], None, []], ["query"] * 4, ["x", "y", None, "z"])
    assert concepts_of(points) == [["a", "b"], ["y"], [], ["z"]]


def test_the_report_can_be_saved_drawn_and_compared(tmp_path):
    vectors, concepts, splits = clusters()
    points = collection(vectors, concepts, splits)
    report = judge_hashing(points, codebooks=random_books(vectors), depths=(10, 100))
    assert Report.load(report.save(tmp_path / "report.json")) == report
    files = draw({"one": report}, tmp_path / "plots")
    assert {file.name for file in files} >= {"precision-at-places.png", "precision-recall-at-places.svg"}
    lines = write_places(report, tmp_path / "curves.csv").read_text().splitlines()
    assert lines[0].split(",")[:2] == ["places", "float precision"]
    assert [line.split(",")[0] for line in (lines[1], lines[-1])] == ["1", "100"]
    last = float(lines[-1].split(",")[1])
    assert last == pytest.approx(report.values["float precision@100"])
    columns = rankings_table(report, ("float", "asymmetric", "symmetric")).columns
    assert [column.header for column in columns] == ["figure", "float", "asymmetric", "symmetric"]


def test_what_cannot_be_judged_is_named():
    vectors, concepts, splits = clusters(n=40)
    points = collection(vectors, concepts, splits)
    books = random_books(vectors)
    raw = Codebooks(books.words, "additive", unit=False)
    for wrong, options, message in (
        (points, {"query": ["test"]}, "no row of split 'test'"),
        (points, {"codebooks": raw}, "keeps no lengths.*codes fit --start"),
        (collection(vectors, [[]] * 40, splits), {}, "no photo has concepts or a label"),
        (points, {"codebooks": Codebooks(books.words[:, :, :5], "additive")}, "codebooks of 5 numbers"),
        (
            collection(
                vectors, [["a"]] * 4 + [[f"{row}"] for row in range(36)], ["query"] * 4 + ["gallery"] * 36
            ),
            {},
            "no query shares a concept",
        ),
    ):
        with pytest.raises(PerisphereError, match=message):
            judge_hashing(wrong, **options)
    others = collection(vectors, concepts, splits, identity="other")
    with pytest.raises(PerisphereError, match="different encoders"):
        judge_hashing(collection(vectors, concepts, splits, identity="one"), others)


def test_a_folder_of_codes_is_taken_by_the_photos_numbers():
    vectors, concepts, splits = clusters(n=60)
    points = collection(vectors, concepts, splits, identity="one")
    books = random_books(vectors)
    order = np.random.default_rng(0).permutation(60)
    codes = books.encode(vectors)[order]
    folder = CodeFolder(codes, points.rows[order], books, Path(), {"identity": "one"})
    with_codebooks, with_codes = (
        judge_hashing(points, depths=(20,), **options).values
        for options in ({"codebooks": books}, {"codes": folder})
    )
    for name in ("float MAP@20", "asymmetric MAP@20", "symmetric recall@20"):
        assert with_codebooks[name] == with_codes[name]
    fewer = replace(folder, codes=codes[:30], rows=points.rows[order[:30]])
    with pytest.raises(PerisphereError, match="of 54 photos of the gallery have no code"):
        judge_hashing(points, codes=fewer)
    with pytest.raises(PerisphereError, match="another encoder's vectors"):
        judge_hashing(points, codes=replace(folder, encoder={"identity": "two"}))


def test_features_are_read_in_blocks(monkeypatch):
    vectors, concepts, splits = clusters(n=50)
    lengths = np.linspace(1, 2, 50, dtype=np.float32)
    points = collection(vectors, concepts, splits, lengths=lengths)
    monkeypatch.setattr("perisphere.evaluation.features.ROWS", 7)
    assert_allclose(PointFeatures.of(points, unit=True).rows(), vectors, rtol=1e-6)
    assert_allclose(PointFeatures.of(points, unit=False).rows(), vectors * lengths[:, None], rtol=1e-6)
