"""What every index promises, wherever its vectors and rows lie."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from test_filters import expressions

from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index
from perisphere.index.filters import Expression, evaluate

DIM = 16
Make = Callable[..., Index]


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


def state(index: Index) -> tuple:
    ids, vectors = index.vectors()
    return ids.tolist(), vectors.tobytes(), index.rows().to_dicts()


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A file of Milvus Lite that stays open: its server is started once."""
    pytest.importorskip("milvus_lite")
    folder = tmp_path_factory.mktemp("lite")
    with Index.create(folder / "index", 2, store=str(folder / "vectors.db")):
        yield str(folder / "vectors.db")


@pytest.fixture(params=["sqlite", "milvus"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Make an index over each store."""
    options = {} if request.param == "sqlite" else {"store": request.getfixturevalue("lite")}
    made = []

    def create(name: str = "index", **more: object) -> Index:
        made.append(Index.create(tmp_path / name, more.pop("dim", DIM), **{**options, **more}))
        return made[-1]

    yield create
    for index in made:
        index.close()


@pytest.fixture
def index(make: Make) -> Index:
    return make()


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


def test_vectors_come_back_as_they_went_in(make):
    index = make(metric="l2")
    vectors = points(700)
    ids = index.add(vectors)
    np.testing.assert_array_equal(index.vectors()[1], vectors)
    np.testing.assert_array_equal(index.vectors(ids[[9, 2, 9]])[1], vectors[[9, 2, 9]])


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


def test_a_failed_fill_leaves_the_older_index(make):
    old = make()
    old.add(points(5))

    def fail(index: Index) -> None:
        index.add(points(2))
        raise PerisphereError("the photos ran out")

    with pytest.raises(PerisphereError, match="ran out"):
        make(overwrite=True, fill=fail)
    with Index.open(old.folder) as kept:
        assert len(kept) == 5
        assert kept.search(points(1), 9).ids[0].tolist() == old.search(points(1), 9).ids[0].tolist()
    with pytest.raises(PerisphereError, match="exists already"):
        make()


def test_a_least_score_cuts(index):
    index.add(points(50))
    scores = index.search(points(1, seed=1), 50).scores[0]
    cut = index.search(points(1, seed=1), 50, min_score=float(scores[9]))
    assert len(cut.results()) == 10


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


def varied(n: int) -> pl.DataFrame:
    """Rows that meet often in some cell, with nulls, empty lists and what breaks quoting among them."""
    texts = ["", "a", "A", "b", "2", "2.0", "-3", "10", "é", "o'brien", 'say "x"', "a\\b", "%", "a_b", "x\ny"]
    pick = np.random.default_rng(0)

    def cell(choices: list) -> list:
        return [choices[place] for place in pick.integers(0, len(choices), n)]

    columns = {
        name: cell([None, *texts]) for name in ("path", "split", "label", "camera", "domain", "caption")
    }
    lists = {name: cell([None, [], ["a"], ["2", "é"], texts]) for name in ("tags", "categories", "concepts")}
    numbers = {name: cell([None, -5, 0, 2, 7]) for name in ("width", "height")}
    kinds = {name: pl.List(pl.String) for name in lists} | {"box": pl.List(pl.Int64)}
    columns |= {**lists, **numbers, "box": cell([None, [0, 0, 4, 4]])}
    return pl.DataFrame(columns, schema_overrides=kinds)


@pytest.fixture(scope="module", params=["sqlite", "milvus"])
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """An index of varied rows, which no test changes."""
    store = None if request.param == "sqlite" else request.getfixturevalue("lite")
    with Index.create(tmp_path_factory.mktemp("asked") / "index", 4, store=store) as made:
        made.add(points(40, dim=4), varied(40))
        yield made


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(expressions)
def test_a_filter_means_the_same_everywhere(asked: Index, expression: Expression) -> None:
    rows = asked.rows().to_dicts()
    assert asked.ids(expression).tolist() == [row["id"] for row in rows if evaluate(expression, row)]


FILTERS = [
    "label == 'class 2'",
    "camera != 2 and label is not null",
    "tags has 'red' or width < 140",
    "id < 1",
]


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_both_stores_answer_alike(tmp_path: Path, lite: str, metric: str) -> None:
    vectors, queries = points(300), points(5, seed=1)
    with (
        Index.create(tmp_path / "sqlite", DIM, metric=metric, centroids="beside") as ours,
        Index.create(tmp_path / "milvus", DIM, metric=metric, centroids="beside", store=lite) as theirs,
    ):
        for index in (ours, theirs):
            index.add(vectors, table(300), root="/photos")
            index.remove([1, 5, 44, 300])
        for where in (None, *FILTERS):
            for k, other in ((5, None), (400, None), (9, "l1")):
                wanted, found = (
                    index.search(queries, k, where=where, metric=other) for index in (ours, theirs)
                )
                np.testing.assert_array_equal(found.ids, wanted.ids)
                np.testing.assert_allclose(found.scores, wanted.scores, atol=3e-5)
            wanted, found = (index.centroids(where) for index in (ours, theirs))
            assert (found.labels, found.ids.tolist()) == (wanted.labels, wanted.ids.tolist())
            np.testing.assert_allclose(found.points, wanted.points, atol=2e-6)
            ask = [["dome"], ["old", "class"]]
            assert theirs.matches(ask, where) == ours.matches(ask, where)
            for column in ("label", "tags", "camera", "categories"):
                assert theirs.counts(column, where, most=3) == ours.counts(column, where, most=3)
            some = [index.some_of("class 2", 3, where, without=[3]).tolist() for index in (ours, theirs)]
            assert some[0] == some[1]
        assert list(theirs.paths()) == list(ours.paths())
        assert theirs.category_paths() == ours.category_paths()
        assert theirs.rows().equals(ours.rows())
        assert theirs.info()["identities"] == ours.info()["identities"] == 7
        assert theirs.verify() == ours.verify() == []


def test_centroids_are_kept_from_any_moment_on(make: Make) -> None:
    index, before = make("late"), make("early", centroids="beside")
    for each in (index, before):
        each.add(points(60), table(60))
        each.remove([2, 9])
    with pytest.raises(PerisphereError, match="keeps no centroids"):
        index.centroids()
    assert index.keep_centroids() == 7
    for each in (index, before):
        each.add(points(20, seed=1), table(20))
        each.remove(each.ids("label == 'class 3'"))
    late, early = index.centroids(), before.centroids()
    assert sorted(late.labels) == sorted(early.labels) == [f"class {i}" for i in (0, 1, 2, 4, 5, 6)]
    for label in late.labels:
        points_of = [each.points[each.places[label]] for each in (late, early)]
        np.testing.assert_allclose(*points_of, atol=1e-6)
    assert index.verify() == before.verify() == []


def test_an_index_is_found_again_as_it_was(make: Make) -> None:
    index = make(centroids="beside")
    index.add(points(50), table(50), encoder_identity="a" * 16)
    index.remove([7])
    made, before = index.calibrate(), state(index)
    index.close()
    with Index.open(index.folder) as again:
        assert state(again) == before
        assert (again.calibration, again.info()["encoder"]["identity"]) == (made, "a" * 16)
        assert (again.compact(), again.info()["tombstones"], len(again)) == (1, 0, 49)
        assert again.verify() == []


def test_an_index_that_is_replaced_is_gone(make: Make) -> None:
    make().add(points(5))
    new = make(overwrite=True, fill=lambda index: index.add(points(3, seed=2)))
    assert (len(new), new.verify()) == (3, [])
    assert new.search(points(1, seed=2), 9).ids[0, 0] == 1


def test_an_interrupted_add_is_as_if_it_had_not_been(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    index = make(centroids="beside")
    index.add(points(20), table(20))
    before = state(index)
    monkeypatch.setattr("perisphere.index.words.put", interrupt)
    monkeypatch.setattr("perisphere.index.index._insert_rows", interrupt)
    with pytest.raises(KeyboardInterrupt):
        index.add(points(30, seed=1), table(30))
    monkeypatch.undo()
    assert state(index) == before
    assert index.add(points(1)).tolist() == [21]
    assert index.verify() == []


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt
