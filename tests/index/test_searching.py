import threading

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index
from perisphere.index import snapshot as snapshot_module

DIM = 16


def points(n: int, seed: int = 0, dim: int = DIM) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)


def table(n: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "path": [f"{i}.jpg" for i in range(n)],
            "label": [f"class {i % 7}" if i % 5 else None for i in range(n)],
            "camera": [str(i % 3) for i in range(n)],
            "tags": [["red", "old"] if i % 2 else [] for i in range(n)],
            "categories": [["building", "dome, or\nso"]] * n,
            "box": [[0, 0, i, i] if i % 4 == 0 else None for i in range(n)],
            "width": [100 + i for i in range(n)],
        }
    )


def truth(queries: np.ndarray, vectors: np.ndarray, metric: str) -> np.ndarray:
    """Scores by their definition, in float64."""
    queries, vectors = queries.astype(np.float64), vectors.astype(np.float64)
    if metric == "cosine":
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return queries @ vectors.T
    order = 2 if metric == "l2" else 1
    return -np.linalg.norm(queries[:, None] - vectors, ord=order, axis=2)


def state(index: Index) -> tuple:
    ids, vectors = index.vectors()
    return ids.tolist(), vectors.tobytes(), index.rows().to_dicts()


def small_segments(monkeypatch) -> None:
    """Segments of 1,024 rows, so that several are searched and merged."""
    monkeypatch.setattr(snapshot_module, "SEGMENT_BYTES", 1)
    monkeypatch.setattr(snapshot_module, "LARGEST_BYTES", 1)


@pytest.fixture
def index(tmp_path):
    with Index.create(tmp_path / "index", DIM) as made:
        yield made


@pytest.mark.parametrize("stored", ["cosine", "l2", "l1"])
@pytest.mark.parametrize("asked", ["cosine", "l2", "l1"])
@pytest.mark.parametrize("queries", [1, 40, 300])
def test_every_metric_ranks_by_its_definition(tmp_path, monkeypatch, stored, asked, queries):
    small_segments(monkeypatch)
    vectors, wanted = points(2500), points(queries, seed=1)
    with Index.create(tmp_path / "index", DIM, metric=stored) as index:
        ids = index.add(vectors)
        found = index.search(wanted, 5, metric=asked)
        kept = index.vectors()[1]
        expected = truth(wanted, kept, asked)
        assert found.metric == asked
        np.testing.assert_allclose(found.scores, np.sort(expected)[:, ::-1][:, :5], atol=2e-5)
        rows = np.searchsorted(ids, found.ids)
        np.testing.assert_allclose(np.take_along_axis(expected, rows, axis=1), found.scores, atol=2e-5)


def test_near_points_have_their_true_distance(tmp_path):
    base = np.full((2000, DIM), 100, dtype=np.float32) + points(2000) * 1e-2
    with Index.create(tmp_path / "index", DIM, metric="l2") as index:
        index.add(base)
        found = index.search(base[:500], 1)
        np.testing.assert_array_equal(found.ids[:, 0], np.arange(1, 501))
        np.testing.assert_array_equal(found.scores[:, 0], 0)


def test_fewer_results_than_asked_leave_places_empty(index):
    index.add(points(5))
    found = index.search(points(1), 5, where="id < 3")
    assert (found.ids[0] == -1).tolist() == [False, False, True, True, True]
    assert np.isneginf(found.scores[0, 2:]).all()


@pytest.mark.parametrize("metric", ["cosine", "l2", "l1"])
def test_no_more_places_than_rows_are_made(index, metric):
    assert index.search(points(2), 10**12, metric=metric).ids.shape == (2, 0)
    index.add(points(5))
    found = index.search(points(2), 10**12, metric=metric)
    assert np.sort(found.ids, axis=1).tolist() == [[1, 2, 3, 4, 5]] * 2


@pytest.mark.parametrize("metric", ["cosine", "l2", "l1"])
def test_no_query_has_no_answer(index, metric):
    for _ in range(2):
        found = index.search(points(0), 3, metric=metric)
        assert len(found) == 0
        assert found.frame().is_empty()
        index.add(points(5))


def test_rows_come_back_as_they_went_in(index):
    rows = table(60)
    ids = index.add(points(60), rows, root="/photos")
    back = index.rows(ids)
    assert back.select(rows.columns).equals(rows)
    assert back["root"].unique().to_list() == ["/photos"]
    assert index.rows(ids[[7, 3, 7]])["path"].to_list() == ["7.jpg", "3.jpg", "7.jpg"]


def test_vectors_come_back_as_they_went_in(tmp_path):
    with Index.create(tmp_path / "index", DIM, metric="l2") as index:
        vectors = points(3000)
        ids = index.add(vectors)
        np.testing.assert_array_equal(index.vectors()[1], vectors)
        np.testing.assert_array_equal(index.vectors(ids[[9, 2]])[1], vectors[[9, 2]])


def test_cosine_keeps_unit_rows(index):
    index.add(3 * points(10))
    np.testing.assert_allclose(np.linalg.norm(index.vectors()[1], axis=1), 1, atol=1e-6)


def test_ids_are_never_used_again(index):
    first = index.add(points(3))
    index.remove(first)
    index.compact()
    assert index.add(points(1)).tolist() == [4]
    with pytest.raises(PerisphereError, match="never used twice"):
        index.add(points(1), ids=[2])
    assert index.add(points(2, seed=3), ids=[900, 17]).tolist() == [900, 17]
    np.testing.assert_array_equal(index.search(points(2, seed=3), 1).ids[:, 0], [900, 17])
    assert index.add(points(1)).tolist() == [901]
    assert index.verify() == []


BAD_ADDS = {
    "dimension": (lambda: {"vectors": points(2, dim=DIM + 1)}, r"dimension 16: give \[n, 16\]"),
    "nan": (lambda: {"vectors": np.where(np.arange(DIM) == 3, np.nan, points(2))}, "vector 0 holds NaN"),
    "late nan": (
        lambda: {"vectors": np.concatenate([points(40_000), np.full((1, DIM), np.nan, np.float32)])},
        "vector 40000 holds NaN",
    ),
    "infinity": (lambda: {"vectors": np.full((1, DIM), np.inf, np.float32)}, "infinity"),
    "too long": (lambda: {"vectors": np.full((1, DIM), 1e200)}, "too long for float32"),
    "zero": (lambda: {"vectors": np.zeros((1, DIM), np.float32)}, "has no direction"),
    "type": (lambda: {"vectors": np.ones((1, DIM), np.int64)}, "type int64"),
    "axes": (lambda: {"vectors": points(4).reshape(2, 2, DIM)}, "shape"),
    "rows": (lambda: {"vectors": points(2), "rows": table(3)}, "3 rows came with 2 vectors"),
    "column": (lambda: {"vectors": points(1), "rows": table(1).with_columns(colour=1)}, "'colour'"),
    "column type": (
        lambda: {"vectors": points(1), "rows": table(1).with_columns(width=pl.lit("wide"))},
        "'width'",
    ),
    "twice": (lambda: {"vectors": points(2), "ids": [70, 70]}, "70 is given twice"),
    "taken": (lambda: {"vectors": points(1), "ids": [1]}, "taken or was once"),
    "negative": (lambda: {"vectors": points(1), "ids": [-4]}, "between 1 and"),
    "count": (lambda: {"vectors": points(1), "ids": [70, 71]}, "2 ids came with 1 vectors"),
    "fractions": (lambda: {"vectors": points(1), "ids": [70.5]}, "whole numbers"),
    "encoder": (lambda: {"vectors": points(1), "encoder_identity": "b" * 16}, "with another"),
}


@pytest.mark.parametrize("case", BAD_ADDS)
def test_a_bad_add_is_named_and_changes_nothing(index, case):
    index.add(points(20), table(20), encoder_identity="a" * 16)
    before = state(index)
    arguments, words = BAD_ADDS[case]
    with pytest.raises(PerisphereError, match=words):
        index.add(**arguments())
    assert state(index) == before
    assert index.verify() == []
    assert index.add(points(1)).tolist() == [21]


def test_the_first_encoder_named_binds_the_index(index):
    index.add(points(2))
    index.add(points(2, seed=1), encoder_identity="a" * 16)
    with pytest.raises(PerisphereError, match="with another"):
        index.add(points(2, seed=2), encoder_identity="b" * 16)
    index.add(points(2, seed=3))
    assert index.info()["encoder"]["identity"] == "a" * 16
    assert len(index) == 6


BAD_SEARCHES = {
    "dimension": ({"queries": points(1, dim=3)}, PerisphereError, "dimension 16"),
    "nan": ({"queries": np.full((1, DIM), np.nan)}, PerisphereError, "query 0 holds NaN"),
    "zero": ({"queries": np.zeros((1, DIM))}, PerisphereError, "query 0 is zero"),
    "k": ({"queries": points(1), "k": 0}, UsageError, "k is 0"),
    "score": ({"queries": points(1), "min_score": float("nan")}, UsageError, "least score is nan"),
    "metric": ({"queries": points(1), "metric": "cosin"}, UsageError, "Did you mean 'cosine'"),
    "filter": ({"queries": points(1), "where": "lable == 'x'"}, UsageError, "label"),
}


@pytest.mark.parametrize("case", BAD_SEARCHES)
def test_a_bad_search_is_named(index, case):
    arguments, kind, words = BAD_SEARCHES[case]
    with pytest.raises(kind, match=words):
        index.search(**arguments)


def test_removing_what_is_not_there_removes_nothing(index):
    index.add(points(3))
    with pytest.raises(PerisphereError, match="no image with id 9"):
        index.remove([1, 9])
    assert len(index) == 3
    for ask in (index.vectors, index.rows):
        with pytest.raises(PerisphereError, match="no image with id 9"):
            ask([1, 9])
        for large in (2**63, 10**30):
            with pytest.raises(PerisphereError, match=f"The id {large} is out of range"):
                ask([1, large])
    assert index.rows([9, 3, 1], missing_ok=True)["id"].to_list() == [3, 1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dim": 0}, "dimension 0"),
        ({"dim": None}, "dimension None"),
        ({"dim": 4, "metric": "dot"}, "'dot' is unknown"),
        ({"dim": 4, "recall": 1.5}, "recall 1.5"),
        ({"dim": 4, "metric": "l1", "recall": 0.9}, "l1 is always searched exactly"),
    ],
)
def test_a_bad_create_leaves_no_folder(tmp_path, arguments, words):
    with pytest.raises(UsageError, match=words):
        Index.create(tmp_path / "index", **arguments)
    assert not (tmp_path / "index").exists()


def test_a_failed_fill_leaves_the_older_index(tmp_path):
    with Index.create(tmp_path / "index", DIM) as old:
        old.add(points(5))

    def fail(index: Index) -> None:
        index.add(points(2))
        raise PerisphereError("the photos ran out")

    with pytest.raises(PerisphereError, match="ran out"):
        Index.create(tmp_path / "index", DIM, overwrite=True, fill=fail)
    with Index.open(tmp_path / "index") as kept:
        assert len(kept) == 5
    with pytest.raises(PerisphereError, match="exists already"):
        Index.create(tmp_path / "index", DIM)


FILTERS = {
    "label == 'class 2'": lambda row: row["label"] == "class 2",
    "camera != 2 and label is not null": lambda row: row["camera"] != "2" and row["label"] is not None,
    "tags has 'red' or width < 140": lambda row: "red" in row["tags"] or row["width"] < 140,
    "label == 'nothing'": lambda row: False,
    "id > 0": lambda row: True,
}


@pytest.mark.parametrize("where", FILTERS)
@pytest.mark.parametrize("metric", ["cosine", "l2", "l1"])
def test_a_filtered_search_is_a_search_of_what_passes(index, monkeypatch, where, metric):
    small_segments(monkeypatch)
    monkeypatch.setattr("perisphere.index.exact.GATHER_BYTES", 4 * DIM * 100)
    n = 3000
    ids = index.add(points(n), table(n))
    index.remove(ids[::9])
    queries = points(4, seed=1)
    for _ in range(2):  # the second time from memory
        found = index.search(queries, 8, where=where, metric=metric)
        rows = index.rows()
        passing = np.array([FILTERS[where](row) for row in rows.iter_rows(named=True)])
        expected = np.where(passing, truth(queries, index.vectors()[1], metric), -np.inf)
        best = np.sort(expected)[:, ::-1][:, :8]
        np.testing.assert_allclose(found.scores, best, atol=2e-5)
        assert np.isin(found.ids[found.ids != -1], rows["id"].to_numpy()[passing]).all()
        index.remove(found.ids[0, :1][found.ids[0, :1] != -1])


def test_a_least_score_cuts(index):
    index.add(points(50))
    scores = index.search(points(1, seed=1), 50).scores[0]
    cut = index.search(points(1, seed=1), 50, min_score=float(scores[9]))
    assert len(cut.results()) == 10


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_rotation_of_the_sphere_changes_no_ranking(tmp_path_factory, seed):
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((DIM, DIM)))
    vectors, queries = points(200, seed), points(5, seed + 1)
    rankings = []
    for turn in (np.eye(DIM), rotation):
        with Index.create(tmp_path_factory.mktemp("turn") / "index", DIM) as index:
            index.add((vectors @ turn).astype(np.float32))
            rankings.append(index.search((queries @ turn).astype(np.float32), 200))
    first, turned = rankings
    np.testing.assert_allclose(first.scores, turned.scores, atol=1e-5)
    swapped = first.ids != turned.ids  # only where two scores are equal to rounding
    np.testing.assert_allclose(first.scores[swapped], turned.scores[swapped], atol=1e-5)
    assert swapped.mean() < 0.02


def test_another_open_index_sees_what_was_added_and_removed(index):
    with Index.open(index.folder) as reader:
        assert reader.search(points(1)).results() == []
        ids = index.add(points(30))
        assert reader.search(points(1), 1).ids.tolist() == [[1]]
        index.remove(ids[:10])
        assert len(reader.search(points(1), 30).results()) == 20
        index.compact()
        index.add(points(5, seed=2))
        index.remove([12])
        index.compact()
        assert sorted(reader.search(points(1), 30).ids[0][:24].tolist()) == [11, *range(13, 36)]
        np.testing.assert_array_equal(reader.vectors()[0], index.vectors()[0])


def test_searches_in_threads_see_whole_adds_only(index, monkeypatch):
    small_segments(monkeypatch)
    stop, wrong = threading.Event(), []

    def ask() -> None:
        try:
            while not stop.is_set():
                found = index.search(points(2), 4000)
                wrong.extend(int(count) for count in (found.ids != -1).sum(axis=1) if count % 100)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for batch in range(20):
        ids = index.add(points(200, seed=batch))
        index.remove(ids[:100])
        if batch % 5 == 4:
            index.compact()
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(index) == 2000
    assert index.verify() == []


def test_compaction_reclaims_space_and_keeps_the_rest(index):
    ids = index.add(points(20_000), table(20_000))
    for batch in range(30):
        index.add(points(1, seed=batch))
    index.remove(ids[100:4000])
    before = state(index), index.info()["bytes"]
    assert index.info()["tombstones"] == 3900
    assert index.compact() == 3900
    assert state(index) == before[0]
    facts = index.info()
    assert facts["bytes"] < before[1]
    assert (facts["tombstones"], facts["blocks"]) == (0, 1)
    assert index.verify() == []


def test_many_removals_are_reclaimed_by_themselves(index):
    ids = index.add(points(20_000))
    index.remove(ids[:10_000])
    assert index.info()["tombstones"] == 0
    assert index.verify() == []


def test_a_change_stands_where_the_upkeep_after_it_fails(tmp_path, monkeypatch, caplog):
    def fail(*_: object, **__: object) -> None:
        raise PerisphereError("the disk is full")

    with Index.create(tmp_path / "index", DIM, recall=0.9) as index:
        monkeypatch.setattr("perisphere.index.approximate.Approximate.rebuild_if_due", fail)
        ids = index.add(points(5))
        assert "the disk is full" in caplog.text
        caplog.clear()
        monkeypatch.setattr("perisphere.index.upkeep.DEBT_ROWS", 1)
        monkeypatch.setattr("perisphere.index.store.SqliteFile.tidy", fail)
        assert index.remove(ids[:3]) == 3
        assert "the disk is full" in caplog.text
        assert index.ids().tolist() == [4, 5]
        with pytest.raises(PerisphereError, match="the disk is full"):
            index.compact()


def test_near_duplicates_are_found(index):
    vectors = points(300)
    index.add(np.concatenate([vectors, vectors[:3] + 0.01]))
    assert index.duplicates(0.99).groups() == [[1, 301], [2, 302], [3, 303]]
    assert [id_ for id_, _ in index.near(vectors[1] * 5, 0.99)] == [2, 302]
    with pytest.raises(PerisphereError, match="one image"):
        index.near(vectors[:2])


def test_calibration_is_kept(index):
    centres = points(10)
    labels = [i % 10 for i in range(200)]
    vectors = centres[labels] + 0.3 * points(200, seed=1)
    index.add(vectors, pl.DataFrame({"label": [str(label) for label in labels]}))
    assert index.calibration is None
    made = index.calibrate()
    assert index.calibration == made
    assert made.source == "labels"
    assert made.precision([0.95])[0] > 0.9
    with pytest.raises(UsageError, match="'tags' is unknown"):
        index.calibrate(source="tags")
    with pytest.raises(PerisphereError, match="no path"):
        index.calibrate(source="copies")


def split_index(index, splits: dict[str | None, float]) -> None:
    """Ten classes of ten in each split, the looser the larger its number."""
    labels = [i % 10 for i in range(100)]
    for seed, (split, spread) in enumerate(splits.items()):
        rows = pl.DataFrame({"label": [str(label) for label in labels]}).with_columns(
            split=pl.lit(split, dtype=pl.String)
        )
        index.add(points(10, seed=9)[labels] + spread * points(100, seed=seed), rows)


def test_calibration_leaves_out_what_the_encoder_learned(index):
    split_index(index, {"train": 0.05, "test": 1.0, None: 1.0})
    made = index.calibrate()
    assert made.splits == ("", "test")
    assert made.pairs == 200 * 199
    assert index.info()["calibration_splits"] == ["", "test"]
    learned = index.calibrate(splits=["train"])
    assert (learned.splits, learned.pairs) == (("train",), 100 * 99)
    assert learned.relevant / learned.pairs == pytest.approx(made.relevant / made.pairs, abs=0.01)
    assert learned.precision(0.5) > made.precision(0.5) + 0.01
    assert index.calibrate(splits=["train", "test"]).pairs == index.calibrate(splits=["test", ""]).pairs
    with pytest.raises(UsageError, match=r"'tests' is not in this index. Splits here: test, train. Did you"):
        index.calibrate(splits=["tests"])


def test_calibration_takes_what_there_is(index):
    split_index(index, {"train": 0.05})
    index.add(points(1), pl.DataFrame({"label": ["0"], "split": ["test"]}))
    assert index.calibrate().splits == ("test", "train")


@pytest.mark.parametrize("what", ["missing", "empty", "text", "other", "newer"])
def test_what_is_no_index_is_named(tmp_path, what):
    import sqlite3

    folder = tmp_path / "folder"
    if what != "missing":
        folder.mkdir()
    if what == "text":
        (folder / "index.sqlite").write_text("an index of photos " * 100)
    if what == "other":
        with sqlite3.connect(folder / "index.sqlite") as connection:
            connection.execute("CREATE TABLE songs (name TEXT)")
        connection.close()
    if what == "newer":
        folder.rmdir()
        Index.create(folder, 4).close()
        with sqlite3.connect(folder / "index.sqlite") as connection:
            connection.execute("UPDATE facts SET value = '99' WHERE name = 'format'")
        connection.close()
    words = {
        "missing": "holds no index",
        "empty": "holds no index",
        "text": "is damaged",
        "other": "not of an index",
        "newer": "format 99, newer",
    }
    with pytest.raises(PerisphereError, match=words[what]):
        Index.open(folder)
