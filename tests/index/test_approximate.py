import shutil

import numpy as np
import pytest

from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index, ann, tuning

DIM = 32
ROWS = 6000


def clusters(n: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((300, DIM))
    return (centres[random.integers(0, 300, n)] + 0.4 * random.standard_normal((n, DIM))).astype(np.float32)


def recall(found, true) -> float:
    return float(recall_of_each(found, true).mean())


def recall_of_each(found, true) -> np.ndarray:
    return np.array([np.isin(a, b).mean() for a, b in zip(true.ids, found.ids, strict=True)])


def shrink(monkeypatch) -> None:
    """Cells from 2,000 rows on, and never refused for their speed: these rows are too few for it to show."""
    monkeypatch.setattr(tuning, "MIN_ROWS", 2000)
    monkeypatch.setattr(tuning, "QUERIES", 200)
    monkeypatch.setattr(tuning, "SLOWEST", float("inf"))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    shrink(monkeypatch)


@pytest.fixture(scope="module", params=["cosine", "l2"])
def built(request, tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        shrink(monkeypatch)
        folder = tmp_path_factory.mktemp("built") / "index"
        with Index.create(folder, DIM, metric=request.param, recall=0.95) as made:
            made.add(clusters(ROWS))
    return folder


@pytest.fixture
def index(built, tmp_path):
    shutil.copytree(built, tmp_path / "index")
    with Index.open(tmp_path / "index") as opened:
        yield opened


def cells_file(index: Index):
    (path,) = index.folder.glob("ann-*.faiss")
    return path


@pytest.mark.parametrize("k", [1, 10, 50])
def test_the_recall_asked_for_is_reached_on_new_queries(index, k):
    queries = clusters(300, seed=5)
    found, true = index.search(queries, k), index.search(queries, k, exact=True)
    assert found.road.startswith("IVF")
    assert true.road == "exact"
    assert recall(found, true) >= 0.93
    facts = index.info()["ann"]
    assert facts["state"] == "ready"
    assert all(effort["recall"] >= 0.95 for effort in facts["efforts"].values())
    assert index.search(queries[:1], 51).road == "exact"  # nothing was promised for so many
    assert facts["queries"] == 200


def test_scores_are_those_of_the_true_vectors(index):
    queries = clusters(50, seed=5)
    found, true = index.search(queries, 10), index.search(queries, 10, exact=True)
    same = found.ids == true.ids
    np.testing.assert_allclose(found.scores[same], true.scores[same], atol=1e-5)
    assert same.mean() > 0.8


def test_new_rows_are_found_and_removed_ones_are_not(index):
    new = clusters(20, seed=6)
    ids = index.add(new)
    assert index.search(new, 1).road.startswith("IVF")
    np.testing.assert_array_equal(index.search(new, 1).ids[:, 0], ids)
    index.remove(ids[:10])
    gone = index.search(clusters(20), 1).ids[:, 0]
    index.remove(np.unique(gone))
    found = index.search(np.concatenate([new, clusters(20)]), 10)
    assert found.road.startswith("IVF")
    assert not np.isin(found.ids, [*ids[:10], *gone]).any()


def test_rows_that_were_removed_hide_no_others(index):
    """The cells near the first query are empty, and there are newer rows enough to fill its places."""
    around, elsewhere = clusters(300, seed=5)[:1], clusters(300, seed=5)[200:201]
    new = index.add(-np.repeat(around, 30, axis=0) + 0.01 * clusters(30, seed=8))
    index.remove(index.search(around, ROWS // 3, exact=True).ids[0])
    for queries in (np.concatenate([around, elsewhere]), np.concatenate([elsewhere, around])):
        found, true = index.search(queries, 10), index.search(queries, 10, exact=True)
        assert not np.isin(found.ids, new).any()
        assert (recall_of_each(found, true) >= 0.9).all()


def test_removed_rows_take_no_places_of_candidates(index):
    queries = clusters(1, seed=5)
    index.remove(index.search(queries, 40, exact=True).ids[0])
    snapshot, (_, cells) = index._fresh(), index._approximate._loaded()
    found = cells.search(snapshot, queries, 10, ann.Effort(cells.index.nlist, 4))  # with 40 candidates
    assert snapshot.holds(found[0][0]).all()


def test_no_query_has_no_answer_of_cells(index):
    assert index.search(clusters(0), 5).ids.shape == (0, 5)


def test_wide_filters_go_by_cells_and_narrow_ones_do_not(index):
    queries = clusters(50, seed=5)
    wide, narrow = f"id > {ROWS // 2}", f"id > {ROWS - 60}"
    found, true = index.search(queries, where=wide), index.search(queries, where=wide, exact=True)
    assert (found.ids > ROWS // 2).all()
    assert "filter" in found.road
    assert recall(found, true) > 0.85
    few = index.search(queries, where=narrow)
    assert few.road == "gather + exact"
    np.testing.assert_array_equal(few.ids, index.search(queries, where=narrow, exact=True).ids)


def test_another_metric_is_searched_exactly(index):
    assert index.search(clusters(2), metric="l1").road == "exact"


@pytest.mark.parametrize("damage", ["missing", "changed", "cut", "swapped", "elsewhere"])
def test_damaged_cells_are_never_read(index, damage, monkeypatch):
    path = cells_file(index)
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "changed":
        path.write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "swapped":
        path.write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    else:
        facts = index._store.fact("ann")
        index._store.set_facts(ann=facts | {"file": "../../outside.faiss"})
    monkeypatch.setattr("faiss.deserialize_index", lambda *_: pytest.fail("an unknown file was read"))
    with Index.open(index.folder) as opened:
        found = opened.search(clusters(5, seed=5))
        assert found.road == "exact"
        assert opened.info()["ann"]["state"] == "lost"
        assert len(opened.verify()) == 1
    monkeypatch.undo()
    shrink(monkeypatch)
    with Index.open(index.folder) as opened:
        opened.compact()
        assert opened.search(clusters(5, seed=5)).road.startswith("IVF")
        assert opened.verify() == []


def test_other_processes_use_new_cells(index):
    with Index.open(index.folder) as reader:
        assert reader.search(clusters(1)).road.startswith("IVF")
        before = cells_file(index)
        index.add(clusters(ROWS, seed=7))  # as many again: built anew
        assert cells_file(index) != before
        assert reader.info()["ann"]["rows"] == 2 * ROWS
        assert reader.search(clusters(1)).road.startswith("IVF")


def test_efforts_travel_with_the_call(index):
    index.search(clusters(3))
    _, cells = index._approximate._loaded()
    assert cells is not None
    nprobe = cells.index.nprobe
    index.search(clusters(3))
    assert cells.index.nprobe == nprobe == 1  # as FAISS made it


def test_few_rows_are_searched_exactly(tmp_path):
    with Index.create(tmp_path / "index", DIM, recall=0.9) as index:
        index.add(clusters(1000))
        assert index.search(clusters(1)).road == "exact"
        assert index.info()["ann"] is None


def test_a_search_without_a_target_is_exact(tmp_path):
    with Index.create(tmp_path / "index", DIM) as index:
        index.add(clusters(3000))
        assert index.info()["ann"] is None
        with pytest.raises(UsageError, match="no recall was asked for"):
            index.build()
        index.build(recall=0.9)
        assert index.search(clusters(1)).road.startswith("IVF")
    with Index.create(tmp_path / "l1", DIM, metric="l1") as index:
        index.add(clusters(3000))
        assert index.search(clusters(1)).road == "exact"
        with pytest.raises(UsageError, match="metric is l1"):
            index.build(recall=0.9)


def test_too_few_rows_cannot_be_built_from(tmp_path):
    with Index.create(tmp_path / "index", DIM, recall=0.9) as index:
        index.add(clusters(10))
        with pytest.raises(PerisphereError, match="10 images"):
            index.build()


def test_what_never_pays_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "SLOWEST", 0.0)
    with Index.create(tmp_path / "index", DIM, recall=0.9) as index:
        index.add(clusters(3000))
        assert index.info()["ann"]["state"] == "not faster than exact"
        assert index.search(clusters(1)).road == "exact"


def test_dimensions_without_groups_have_cells_too():
    assert tuning.factory(100_000, 512) == "IVF1024,PQ128x4fs"
    assert tuning.factory(100_000, 30) == "IVF1024,SQ8"
    assert ann.LOOP_LIMIT > 0
