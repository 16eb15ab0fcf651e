import shutil
import sqlite3
import threading
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from perisphere.catalog import Catalog
from perisphere.codes import Codebooks
from perisphere.encoder import Embeddings
from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index, code_blocks, kept_codes, upkeep
from perisphere.index.filling import create_from

DIM, BOOKS = 16, 3


def books(words: int = 32, *, seed: int = 0, unit: bool = True, dim: int = DIM) -> Codebooks:
    made = np.random.default_rng(seed).standard_normal((BOOKS, words, dim), dtype=np.float32)
    return Codebooks(made / 6, "additive", unit)


def points(n: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, DIM), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def table(n: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "path": [f"{row}.jpg" for row in range(n)],
            "label": [f"class {row % 5}" for row in range(n)],
            "camera": [str(row % 3) for row in range(n)],
        }
    )


def filled(folder, mode: str = "beside", n: int = 400, **options) -> Index:
    index = Index.create(folder / "index", DIM, codebooks=books(), codes=mode, **options)
    index.add(points(n), table(n), root="/photos")
    return index


def truth(queries: np.ndarray, vectors: np.ndarray, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    scores = queries.astype(np.float64) @ vectors.astype(np.float64).T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return ids[order], np.take_along_axis(scores, order, axis=1)


def loaded(index: Index) -> int:
    """How many vectors lie in memory."""
    return len(index._snapshot)


@pytest.mark.parametrize("mode", ["beside", "only"])
def test_a_code_scores_by_the_inner_product_of_its_words(tmp_path, mode):
    with filled(tmp_path, mode) as index:
        queries = points(7, seed=1)
        found = index.search(queries, 10, shortlist=0)
        decoded = books().decode(books().encode(points(400)))
        ids, scores = truth(queries, decoded, np.arange(1, 401), 10)
        np.testing.assert_array_equal(found.ids, ids)
        np.testing.assert_allclose(found.scores, scores, atol=2e-6)
        assert found.road == "codes of 24 bits"


@pytest.mark.parametrize("mode", ["beside", "only"])
def test_a_symmetric_search_takes_the_queries_codes(tmp_path, mode):
    with filled(tmp_path, mode) as index:
        queries, own = points(5, seed=1), books()
        found = index.search(queries, 8, symmetric=True)
        asked, decoded = (own.decode(own.encode(rows)) for rows in (queries, points(400)))
        ids, scores = truth(asked, decoded, np.arange(1, 401), 8)
        np.testing.assert_array_equal(found.ids, ids)
        np.testing.assert_allclose(found.scores, scores, atol=2e-6)
        assert found.road == "symmetric codes of 24 bits"
        assert found != index.search(queries, 8, shortlist=0)


def test_a_short_list_of_all_finds_what_an_exact_search_finds(tmp_path):
    with filled(tmp_path) as index:
        queries = points(6, seed=2)
        found = index.search(queries, 9, shortlist=400)
        assert (found.road, loaded(index)) == ("codes of 24 bits, the best 400 by vectors", 0)
        exact = index.search(queries, 9, exact=True)
        assert (exact.road, loaded(index)) == ("exact", 400)
        np.testing.assert_array_equal(found.ids, exact.ids)
        np.testing.assert_allclose(found.scores, exact.scores, atol=1e-6)


def test_a_longer_short_list_finds_no_less(tmp_path):
    """The recall of the vectors' nearest grows with the list, and a code of 3 bytes is no vector."""
    with filled(tmp_path, n=2000) as index:
        queries = points(60, seed=3)
        exact = index.search(queries, 5, exact=True).ids
        recalls = []
        for length in (0, 5, 20, 100, 2000):
            found = index.search(queries, 5, shortlist=length).ids
            recalls.append(
                np.mean([len(np.intersect1d(a, b)) / 5 for a, b in zip(found, exact, strict=True)])
            )
        assert recalls[0] == recalls[1] < recalls[2] < recalls[3] < recalls[4] == 1
        assert (index.search(queries, 5).ids == index.search(queries, 5, shortlist=100).ids).all()
        assert index.search(queries[:1], 80).road == "codes of 24 bits, the best 160 by vectors"


def test_equal_codes_come_by_id(tmp_path):
    with Index.create(tmp_path / "index", DIM, codebooks=books(words=2), codes="only") as index:
        index.add(points(300))
        found = index.search(points(20, seed=1), 300)
    for ids, scores in zip(found.ids, found.scores, strict=True):
        assert len(set(scores.tolist())) <= 8
        assert (np.diff(scores) <= 0).all()
        assert (np.diff(ids)[np.diff(scores) == 0] > 0).all()


@pytest.mark.parametrize("mode", ["beside", "only"])
def test_filters_choose_among_codes(tmp_path, mode):
    with filled(tmp_path, mode) as index:
        queries = points(4, seed=1)
        where = "label == 'class 2' and camera != 1"
        for _ in range(2):  # planned, then remembered
            found = index.search(queries, 12, where=where)
            passing = index.ids(where)
            assert set(found.ids.ravel().tolist()) <= set(passing.tolist())
            assert found.road.endswith(" + filter")
        if mode == "only":
            ids, vectors = index.vectors(passing)
            np.testing.assert_array_equal(found.ids, truth(queries, vectors, ids, 12)[0])
        else:
            found = index.search(queries, 12, where=where, shortlist=400)
            exact = index.search(queries, 12, where=where, exact=True)
            np.testing.assert_array_equal(found.ids, exact.ids)
        index.remove(passing[:3])
        index.add(points(1, seed=9), pl.DataFrame({"label": ["class 2"]}))
        again = index.search(queries, 400, where=where).ids
        expected = [*passing[3:].tolist(), 401]
        assert [sorted(ids[ids > 0].tolist()) for ids in again] == [expected] * 4
        nothing = index.search(queries, 3, where="label == 'nobody'")
        assert (nothing.ids == -1).all()
        assert np.isneginf(nothing.scores).all()


@pytest.mark.parametrize("mode", ["beside", "only"])
def test_an_empty_index_and_no_query_have_no_answer(tmp_path, mode):
    with Index.create(tmp_path / "index", DIM, codebooks=books(), codes=mode) as index:
        assert index.search(points(2), 3).ids.shape == (2, 0)
        assert index.verify() == []
        index.add(points(5))
        assert index.search(points(0), 3).ids.shape == (0, 3)
        assert np.sort(index.search(points(2), 10**9).ids, axis=1).tolist() == [[1, 2, 3, 4, 5]] * 2


@pytest.mark.parametrize("options", [{}, {"symmetric": True}])
def test_many_queries_are_answered_block_by_block(tmp_path, monkeypatch, options):
    with filled(tmp_path) as index:
        queries = points(23, seed=6)
        whole = index.search(queries, 4, **options)
        monkeypatch.setattr(kept_codes, "QUERIES", 5)
        found = index.search(queries, 4, **options)
        np.testing.assert_array_equal(found.ids, whole.ids)
        np.testing.assert_allclose(found.scores, whole.scores, atol=1e-6)


def test_codes_take_their_bytes_and_ids_without_gaps_none(tmp_path):
    with filled(tmp_path, "only", 5000) as index:
        info = index.info()
        assert info["codes"]["bytes"] == 5000 * BOOKS
        assert (info["codes"]["bits"], info["codes"]["mode"], info["blocks"]) == (24, "only", 1)
        coded = index._codes.now()
        assert (coded.codes.nbytes, coded.ids.offsets) == (5000 * BOOKS, None)
        index.remove(np.arange(3, 5000, 7))
        assert index.compact() == 714
        assert index.info()["codes"]["bytes"] == 4286 * (BOOKS + 4)
        assert index._codes.now().ids.offsets.nbytes == 4 * 4286


def test_vectors_of_some_are_read_alone(tmp_path):
    with filled(tmp_path) as index:
        ids, vectors = index.vectors([300, 2, 300])
        assert (ids.tolist(), loaded(index)) == ([300, 2, 300], 0)
        np.testing.assert_allclose(vectors, points(400)[[299, 1, 299]], atol=1e-6)
        assert index.vectors([])[1].shape == (0, DIM)
        with pytest.raises(PerisphereError, match="no image with id 401"):
            index.vectors([401])
        np.testing.assert_array_equal(index.vectors()[1][[299]], vectors[:1])


def test_codes_alone_tell_what_they_know_of_vectors(tmp_path):
    with filled(tmp_path, "only") as index:
        ids, vectors = index.vectors([300, 2])
        np.testing.assert_array_equal(vectors, books().decode(books().encode(points(400)[[299, 1]])))
        assert ids.tolist() == [300, 2]
        assert index.vectors()[1].shape == (400, DIM)
        with pytest.raises(PerisphereError, match="no image with id 401"):
            index.vectors([4, 401])


@pytest.mark.parametrize("mode", ["beside", "only"])
def test_the_same_rows_added_in_any_steps_get_the_same_codes(tmp_path, mode):
    vectors = points(900)
    found = []
    for number, cuts in enumerate(([], [1, 2, 450], list(range(100, 900, 100)))):
        with Index.create(tmp_path / str(number), DIM, codebooks=books(), codes=mode) as index:
            for part in np.split(vectors, cuts):
                index.add(part)
                index.search(points(1), 1)  # what is known grows from add to add
            index.compact()
            assert index.info()["codes"]["blocks"] == 1
            assert index.verify() == []
            found.append(index._codes.now().codes)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize("mode", ["beside", "only"])
def test_ids_far_apart_are_kept(tmp_path, mode):
    with Index.create(tmp_path / "index", DIM, codebooks=books(), codes=mode) as index:
        given = [5, 2**33, 2**33 + 1, 2**61, 7]
        assert index.add(points(5), ids=given).tolist() == given
        assert index.search(points(5), 1, shortlist=0).ids.shape == (5, 1)
        assert np.sort(index.search(points(1), 5).ids).tolist() == [sorted(given)]
        index.remove([2**33])
        index.compact()
        assert index.verify() == []
        assert np.sort(index.search(points(1), 5).ids).tolist() == [sorted({*given} - {2**33})]


def test_rows_removed_while_codes_are_compacted_leave_no_code_behind(tmp_path, monkeypatch):
    """A removal between the compaction of codes and that of vectors: its tombstone goes with its code."""
    with filled(tmp_path) as index, Index.open(index.folder) as other:
        index.remove([4, 5])
        compact = code_blocks.compact

        def compact_and_remove(*arguments, **options):
            reclaimed = compact(*arguments, **options)
            other.remove([6, 300])
            return reclaimed

        monkeypatch.setattr(upkeep.code_blocks, "compact", compact_and_remove)
        assert index.compact() == 4
        assert index.verify() == []
        assert index.info()["tombstones"] == 0
        assert not np.isin([4, 5, 6, 300], index.search(points(1), 400).ids).any()
        assert len(index) == len(index._codes.now()) == 396


def test_a_search_whose_short_list_is_compacted_away_looks_again(tmp_path, monkeypatch):
    with filled(tmp_path) as index, Index.open(index.folder) as other:
        first = index.search(points(1, seed=4), 3).ids[0]
        scan, calls = kept_codes.scan, []

        def scan_and_remove(*arguments):
            calls.append(scan(*arguments))
            if len(calls) == 1:
                other.remove(first)
                other.compact()
            return calls[-1]

        monkeypatch.setattr(kept_codes, "scan", scan_and_remove)
        found = index.search(points(1, seed=4), 3).ids[0]
        assert len(calls) == 2
        assert not np.isin(first, found).any()


def test_another_process_sees_what_was_added_and_removed(tmp_path):
    with filled(tmp_path) as index, Index.open(index.folder) as reader:
        query = points(1, seed=5)
        assert len(reader.search(query, 500).ids[0]) == 400
        new = index.add(query)
        assert reader.search(query, 1).ids.tolist() == [new.tolist()]
        index.remove(new)
        assert new[0] not in reader.search(query, 500).ids


def test_searches_go_on_while_the_index_changes(tmp_path):
    with filled(tmp_path) as index:
        failures: list[BaseException] = []

        def ask() -> None:
            try:
                for seed in range(30):
                    found = index.search(points(2, seed=seed), 5)
                    assert (found.ids > 0).all()
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for step in range(6):
            index.add(points(20, seed=step))
            index.remove(np.arange(1 + 20 * step, 11 + 20 * step))
            index.compact()
        for thread in threads:
            thread.join()
        assert failures == []
        assert index.verify() == []


def test_centroids_lie_beside_codes(tmp_path):
    with filled(tmp_path, centroids="beside") as index:
        index.remove([1, 2, 3])
        index.compact()
        assert index.verify() == []
        assert index.centroids().counts.tolist() == [79, 79, 79, 80, 80]
        some = index.centroids("camera == 1")
        assert len(some) == 5


def test_what_reads_all_vectors_has_them_beside_codes(tmp_path):
    with filled(tmp_path) as index:
        index.add(points(1))
        assert index.duplicates(0.999).groups() == [[1, 401]]
        assert index.near(points(1)[0], 0.999)[0][0] == 1
        assert index.calibrate(source="labels").source == "labels"
        assert index.search(points(2), 3, metric="l2").road == "exact"
        assert index.keep_centroids() == 5


NOT_BY_CODES = {
    "exact": lambda index: index.search(points(1), exact=True),
    "metric": lambda index: index.search(points(1), metric="l1"),
    "duplicates": lambda index: index.duplicates(),
    "near": lambda index: index.near(points(1)[0]),
    "calibrate": lambda index: index.calibrate(source="labels"),
    "centroids": lambda index: index.keep_centroids(),
}


@pytest.mark.parametrize("what", NOT_BY_CODES)
def test_what_needs_vectors_says_that_there_are_only_codes(tmp_path, what):
    with filled(tmp_path, "only", 20) as index, pytest.raises(PerisphereError, match="keeps codes only"):
        NOT_BY_CODES[what](index)


BAD_SEARCHES = {
    "short": ("beside", {"k": 10, "shortlist": 9}, "holds no 10 results"),
    "negative": ("beside", {"shortlist": -1}, "short list of -1"),
    "no vectors": ("only", {"shortlist": 50}, "keeps codes only, and no vectors to rank"),
    "both": ("beside", {"shortlist": 50, "symmetric": True}, "Choose one of"),
    "exact": ("beside", {"shortlist": 50, "exact": True}, "an exact search takes all vectors"),
    "metric": ("beside", {"symmetric": True, "metric": "l2"}, "the metric l2 takes all vectors"),
}


@pytest.mark.parametrize("case", BAD_SEARCHES)
def test_a_search_that_means_nothing_is_refused(tmp_path, case):
    mode, options, words = BAD_SEARCHES[case]
    with filled(tmp_path, mode, 20) as index, pytest.raises(UsageError, match=words):
        index.search(points(1), **options)


@pytest.mark.parametrize("options", [{"shortlist": 20}, {"symmetric": True}, {"shortlist": 0}])
def test_an_index_without_codes_says_so(tmp_path, options):
    with Index.create(tmp_path / "index", DIM) as index:
        index.add(points(3))
        with pytest.raises(PerisphereError, match="keeps no codes"):
            index.search(points(1), **options)
        assert (index.codes_kept, index.info()["codes"]) == (None, None)


BAD_INDEXES = {
    "raw": ({"codebooks": books(unit=False)}, PerisphereError, "with lengths.*--start CODEBOOKS"),
    "dimension": ({"codebooks": books(dim=8)}, PerisphereError, "dimension 8, and the vectors of 16"),
    "mode": ({"codebooks": books(), "codes": "alone"}, UsageError, "'alone' are unknown"),
    "metric": ({"codebooks": books(), "metric": "l2"}, UsageError, "not by l2"),
    "recall": ({"codebooks": books(), "recall": 0.9}, UsageError, "recall 0.9"),
    "centroids": ({"codebooks": books(), "codes": "only", "centroids": "beside"}, UsageError, "--codes-only"),
    "only": ({"codebooks": books(), "centroids": "only"}, UsageError, "--centroids-only"),
}


@pytest.mark.parametrize("case", BAD_INDEXES)
def test_an_index_that_cannot_have_codes_is_not_made(tmp_path, case):
    options, kind, words = BAD_INDEXES[case]
    with pytest.raises(kind, match=words):
        Index.create(tmp_path / "index", DIM, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_recall_cannot_be_asked_for_later(tmp_path):
    with filled(tmp_path, n=10) as index, pytest.raises(UsageError, match="by its codes"):
        index.build(recall=0.9)


def test_a_bad_add_changes_nothing(tmp_path):
    with filled(tmp_path, "only", 30) as index:
        before = index._codes.now().codes.tobytes()
        with pytest.raises(PerisphereError, match="vector 1 holds NaN"):
            index.add(np.stack([points(1)[0], np.full(DIM, np.nan, np.float32)]))
        assert (index._codes.now().codes.tobytes(), len(index), index.verify()) == (before, 30, [])


def changed(folder, *statements: tuple) -> None:
    connection = sqlite3.connect(folder / "index.sqlite")
    with connection:
        for statement in statements:
            connection.execute(*statement)
    connection.close()


DAMAGE = {
    "codes": (("UPDATE codes SET codes = zeroblob(1200)",), "checksum does not match"),
    "length": (("UPDATE codes SET codes = zeroblob(7)",), "checksum does not match"),
    "first": (("UPDATE codes SET first_id = 2",), "checksum does not match"),
    "lost": (("DELETE FROM codes",), "400 rows have no code"),
    "ghost": (("DELETE FROM images WHERE id = 7",), "1 codes have no row, the first with id 7"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_verify_finds_damaged_codes(tmp_path, case):
    statement, words = DAMAGE[case]
    filled(tmp_path).close()
    changed(tmp_path / "index", statement)
    with Index.open(tmp_path / "index") as index:
        assert any(words in problem for problem in index.verify())
        if "checksum" in words:
            with pytest.raises(PerisphereError, match="block of codes up to id 400 is damaged"):
                index.search(points(1))
            with pytest.raises(PerisphereError, match="block of codes up to id 400 is damaged"):
                index.compact()


def test_verify_finds_a_code_that_names_no_word(tmp_path):
    with Index.create(tmp_path / "index", DIM, codebooks=books(words=5), codes="only") as index:
        with index._store.writing() as connection:
            writer = code_blocks.CodeWriter(connection, BOOKS)
            writer.put(np.array([1]), np.array([[4, 5, 0]], np.uint8))
            writer.write()
        assert index.verify() == ["block of codes up to id 1: a code names word 5, and a book has 5"]


def test_other_codebooks_are_noticed(tmp_path):
    filled(tmp_path, n=20).close()
    books(seed=5).save(tmp_path / "index" / kept_codes.FILE)
    with Index.open(tmp_path / "index") as index:
        for ask in (lambda: index.search(points(1)), lambda: index.add(points(1))):
            with pytest.raises(PerisphereError, match="not the codebooks that made the codes"):
                ask()
        assert any("not the codebooks" in problem for problem in index.verify())
        assert index.search(points(1), 1, exact=True).ids.tolist() == [[1]]


def test_codebooks_that_would_run_code_are_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    filled(tmp_path, n=20).close()
    np.savez(tmp_path / "index" / kept_codes.FILE, words=np.array([Evil()], dtype=object))
    with Index.open(tmp_path / "index") as index, pytest.raises(PerisphereError, match=r"codebooks\.npz"):
        index.search(points(1))
    assert not (tmp_path / "ran").exists()


def test_an_index_can_be_moved_with_its_codes(tmp_path):
    filled(tmp_path, "only").close()
    shutil.copytree(tmp_path / "index", tmp_path / "elsewhere")
    with Index.open(tmp_path / "elsewhere") as index:
        assert index.codebooks.fingerprint == books().fingerprint
        assert index.codes_kept == "only"
        assert index.search(points(1), 1).road == "codes of 24 bits"


def embeddings(folder) -> None:
    made = Embeddings(points(40), Catalog(table(40), root="/photos").table, root=folder, encoder={"dim": DIM})
    made.save(folder / "vectors")


def test_raw_codebooks_of_a_file_are_refused_before_anything_is_made(tmp_path):
    raw = replace(books(), unit=False).save(tmp_path / "raw.npz")
    Index.create(tmp_path / "index", DIM).close()
    before = sorted(path.name for path in tmp_path.iterdir())
    embeddings(tmp_path)
    with pytest.raises(PerisphereError, match="Refit them"):
        create_from(tmp_path / "index", tmp_path / "vectors", codebooks=raw, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "vectors"])
    with Index.open(tmp_path / "index") as index:
        assert index.codes_kept is None
