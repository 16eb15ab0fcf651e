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
