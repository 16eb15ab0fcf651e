"""Centroids in an index: true after every change and in every way of asking, and found out where not."""

import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from processes import child

from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index
from perisphere.index.store import FORMAT

DIM = 8
LABELS = ["dome", "tower", "arch", None]


def points(n: int, seed: int = 0, dim: int = DIM) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)


def table(labels: list[str | None], cameras: list[str] | None = None) -> pl.DataFrame:
    rows = pl.DataFrame({"label": labels}, schema={"label": pl.String})
    return rows if cameras is None else rows.with_columns(camera=pl.Series(cameras, dtype=pl.String))


def expected(vectors: np.ndarray, labels: list[str | None], metric: str) -> dict[str, tuple[int, np.ndarray]]:
    """Count and mean of each label, the slow and plain way."""
    if metric == "cosine":
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = {}
    for label in set(labels) - {None}:
        own = [
            vector.astype(np.float64) for vector, name in zip(vectors, labels, strict=True) if name == label
        ]
        mean = np.mean(own, axis=0)
        found[str(label)] = (len(own), mean / np.linalg.norm(mean) if metric == "cosine" else mean)
    return found


def assert_centroids(
    index: Index, model: dict[str, tuple[int, np.ndarray]], where: str | None = None
) -> None:
    found = index.centroids(where)
    assert (np.diff(found.ids) > 0).all()
    assert dict(zip(found.labels, found.counts.tolist(), strict=True)) == {k: v[0] for k, v in model.items()}
    for label, point in zip(found.labels, found.points, strict=True):
        np.testing.assert_allclose(point, model[label][1], atol=2e-6)


@pytest.mark.parametrize("mode", ["beside", "only"])
@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_a_centroid_is_the_mean_of_its_photos(tmp_path: Path, mode: str, metric: str) -> None:
    vectors, labels = points(41), [LABELS[row % (4 if mode == "beside" else 3)] for row in range(41)]
    with Index.create(tmp_path / "index", DIM, metric=metric, centroids=mode) as index:
        assert len(index.centroids()) == 0
        index.add(vectors[:20], table(labels[:20]))
        assert_centroids(index, expected(vectors[:20], labels[:20], metric))
        index.add(vectors[20:], table(labels[20:]))
        model = expected(vectors, labels, metric)
        assert_centroids(index, model)
        assert len(index) == 41
        assert index.verify() == []
    with Index.open(tmp_path / "index") as index:
        assert (index.centroids_kept, index.info()["identities"]) == (mode, 3)
        assert_centroids(index, model)
        names = index.centroids().labels
        assert names == ("dome", "tower", "arch"), "a centroid keeps the id that its label got first"
        ranking = index.centroids().search(points(5, 1), 2)
        matrix = np.array([model[name][1] for name in names])
        queries = points(5, 1)
        if metric == "cosine":
            scores = queries / np.linalg.norm(queries, axis=1, keepdims=True) @ matrix.T
        else:
            scores = -np.linalg.norm(queries[:, None] - matrix, axis=2)
        order = np.argsort(-scores, axis=1)[:, :2]
        assert ranking.ids.tolist() == index.centroids().ids[order].tolist()
        np.testing.assert_allclose(ranking.scores, np.take_along_axis(scores, order, 1), atol=1e-5)


def test_photos_kept_or_not_give_the_same_centroids_and_the_photos_take_the_space(tmp_path: Path) -> None:
    vectors, labels = points(6000, dim=256), [f"{row % 200}" for row in range(6000)]
    sizes, found = {}, {}
    for mode in (None, "beside", "only"):
        with Index.create(tmp_path / str(mode), 256, centroids=mode) as index:
            index.add(vectors, table(labels))
            if mode is not None:
                found[mode] = index.centroids()
                np.testing.assert_array_equal(found[mode].points, found["beside"].points)
        with Index.open(tmp_path / str(mode)) as index:
            sizes[mode] = index.info()["bytes_per_identity"]
            assert (index.verify(), index.info()["identities"]) == ([], 200)
    assert sizes["only"] < sizes[None] / 5
    assert sizes[None] < sizes["beside"] < sizes[None] + sizes["only"]


def test_an_index_that_is_there_gets_centroids(tmp_path: Path) -> None:
    vectors, labels = points(50), [LABELS[row % 4] for row in range(50)]
    with Index.create(tmp_path / "index", DIM) as index:
        index.add(vectors, table(labels))
        index.remove([1, 6, 7])
        assert (index.info()["format"], index.centroids_kept) == (FORMAT, None)
        with pytest.raises(
            PerisphereError, match=r"keeps no centroids\. Make them with `perisphere index centroids`"
        ):
            index.centroids()
        assert index.keep_centroids() == 3
        keep = [row for row in range(50) if row + 1 not in (1, 6, 7)]
        model = expected(vectors[keep], [labels[row] for row in keep], "cosine")
        assert_centroids(index, model)
        assert index.keep_centroids() == 3
        assert (index.info()["format"], index.verify()) == (FORMAT, [])


def test_a_filter_chooses_the_photos_behind_a_centroid(tmp_path: Path) -> None:
    vectors, labels = points(60), [LABELS[row % 4] for row in range(60)]
    cameras = [str(row % 5) for row in range(60)]
    with Index.create(tmp_path / "index", DIM, centroids="beside") as index:
        index.add(vectors, table(labels, cameras))
        for where, rows in {
            "camera != 2": [row for row in range(60) if cameras[row] != "2"],
            "label == 'dome' and camera == 0": [row for row in range(60) if row % 20 == 0],
            "label in ('dome', 'arch')": [row for row in range(60) if row % 4 in (0, 2)],
            "not (label == 'dome')": [row for row in range(60) if row % 4 != 0],
            "camera == 9": [],
        }.items():
            model = expected(vectors[rows], [labels[row] for row in rows], "cosine")
            assert_centroids(index, model, where)
        ids = dict(zip(index.centroids().labels, index.centroids().ids.tolist(), strict=True))
        some = index.centroids("camera != 2")
        assert [ids[label] for label in some.labels] == some.ids.tolist()


def test_where_only_centroids_are_kept(tmp_path: Path) -> None:
    vectors, labels = points(30), [LABELS[row % 3] for row in range(30)]
    with Index.create(tmp_path / "index", DIM, centroids="only") as index:
        index.add(vectors, table(labels, ["1"] * 30))
        with pytest.raises(PerisphereError, match="2 of 3 photos have no label"):
            index.add(points(3), table(["dome", None, None]))
        with pytest.raises(PerisphereError, match="3 of 3 photos have no label"):
            index.add(points(3))
        assert_centroids(index, expected(vectors, labels, "cosine"))
        for ask in (index.vectors, index.duplicates, index.calibrate, lambda: index.search(points(1))):
            with pytest.raises(PerisphereError, match="keeps centroids only, and no photo's vector"):
                ask()
        with pytest.raises(UsageError, match=r"nothing else of their photos\. Leave camera, split out"):
            index.centroids("label == 'dome' or camera == 1 or split == 'test'")
        assert index.centroids("label == 'dome'").labels == ("dome",)
        assert index.rows([4])["label"].to_list() == ["dome"]

        with pytest.raises(PerisphereError, match="Other photos of 'dome' stay"):
            index.remove([1, 2])
        assert len(index) == 30
        own = index.ids("label == 'tower'")
        assert index.leaving_others(np.append(own, 1)).tolist() == [1]
        assert index.remove(own) == 10, "a label that goes as a whole needs no vectors"
        assert index.remove([7, 1, 1], vectors=vectors[[6, 0, 0]]) == 2
        keep = [row for row in range(30) if row % 3 != 1 and row not in (0, 6)]
        assert_centroids(index, expected(vectors[keep], [labels[row] for row in keep], "cosine"))
        assert (len(index), index.verify(), index.compact()) == (18, [], 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"centroids": "besides"}, "choose one of beside, only"),
        ({"centroids": "only", "recall": 0.9}, "centroids are always searched exactly"),
    ],
)
def test_wrong_words(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Index.create(tmp_path / "index", DIM, **options)
    assert list(tmp_path.iterdir()) == []


def test_photos_that_cancel_each_other_have_no_centroid_till_one_goes(tmp_path: Path) -> None:
    one = points(1)
    with Index.create(tmp_path / "index", DIM, centroids="beside") as index:
        index.add(np.vstack([one, -one, points(1, 1)]), table(["dome", "dome", "tower"]))
        assert index.centroids().labels == ("tower",)
        assert index.verify() == []
        index.remove([2])
        assert index.centroids().labels == ("dome", "tower")
        index.remove([1, 3])
        assert len(index.centroids()) == 0
        index.add(one, table(["tower"]))
        assert (index.centroids().labels, index.centroids().ids.tolist()) == (("tower",), [2])


def test_readers_see_what_another_has_changed(tmp_path: Path) -> None:
    vectors = points(12)
    with (
        Index.create(tmp_path / "index", DIM, centroids="beside") as index,
        Index.open(index.folder) as reader,
    ):
        index.add(vectors, table(["dome", "tower"] * 6))
        old = reader.centroids()
        assert reader.centroids() is old
        index.remove([2, 4])
        assert reader.centroids().counts.tolist() == [6, 4]
        assert old.counts.tolist() == [6, 6], "what was asked for before stays as it was"


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_leaving_photos_out_is_as_if_they_were_not_there(data: st.DataObject) -> None:
    metric = data.draw(st.sampled_from(["cosine", "l2"]))
    labels = data.draw(st.lists(st.sampled_from(LABELS), min_size=1, max_size=30))
    out = data.draw(st.lists(st.integers(0, len(labels) - 1), unique=True))
    vectors = points(len(labels), 3)
    with (
        tempfile.TemporaryDirectory() as folder,
        Index.create(f"{folder}/index", DIM, metric=metric, centroids="beside") as index,
    ):
        index.add(vectors, table(labels))
        stored, found = index.vectors()[1], index.centroids()
    left = found.without([labels[row] for row in out], stored[out])
    assert left.counts.min(initial=1) > 0
    keep = [row for row in range(len(labels)) if row not in out]
    model = expected(vectors[keep], [labels[row] for row in keep], metric)
    assert set(left.labels) == set(model)
    for label, point, count in zip(left.labels, left.points, left.counts, strict=True):
        assert count == model[label][0]
        np.testing.assert_allclose(point, model[label][1], atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_a_rotation_of_the_sphere_changes_no_ranking(seed: int) -> None:
    vectors, queries = points(40, seed), points(3, seed + 1)
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((DIM, DIM)))[0].astype(np.float32)
    labels = [str(row % 9) for row in range(40)]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, turned in (("a", np.eye(DIM, dtype=np.float32)), ("b", rotation)):
            with Index.create(Path(folder) / name, DIM, centroids="only") as index:
                index.add(vectors @ turned, table(labels))
                found.append(index.centroids().search(queries @ turned, 9))
    np.testing.assert_allclose(found[0].scores, found[1].scores, atol=1e-5)
    gaps = np.diff(found[0].scores, axis=1)
    if (np.abs(gaps) > 1e-4).all():
        assert found[0].ids.tolist() == found[1].ids.tolist()


class CentroidMachine(RuleBasedStateMachine):
    """Any sequence of changes leaves the means of what is there."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.index = Index.create(self.folder / "index", DIM, centroids="beside")
        self.model: dict[int, tuple[np.ndarray, str | None]] = {}

    @rule(labels=st.lists(st.sampled_from(LABELS), max_size=20), seed=st.integers(0, 1000), own=st.booleans())
    def add(self, labels: list[str | None], seed: int, own: bool) -> None:
        vectors = points(len(labels), seed)
        start = max([0, *self.model]) + 50
        given_ids = list(range(start, start + len(labels)))[::-1] if own else None
        try:
            ids = self.index.add(vectors, table(labels), ids=given_ids)
        except PerisphereError:  # ids that were once given
            return
        self.model |= {
            id_: (vector, label) for id_, vector, label in zip(ids.tolist(), vectors, labels, strict=True)
        }

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if self.model:
            chosen = data.draw(st.lists(st.sampled_from(sorted(self.model)), unique=True))
            self.index.remove(chosen)
            for id_ in chosen:
                del self.model[id_]

    @rule()
    def fail(self) -> None:
        bad = points(2)
        bad[1] = np.nan
        with pytest.raises(PerisphereError):
            self.index.add(bad, table(["dome", "tower"]))

    @rule()
    def compact(self) -> None:
        self.index.compact()

    @rule()
    def reopen(self) -> None:
        self.index.close()
        self.index = Index.open(self.folder / "index")

    @invariant()
    def holds_the_means(self) -> None:
        if self.model:
            vectors, labels = zip(*self.model.values(), strict=True)
            assert_centroids(self.index, expected(np.array(vectors), list(labels), "cosine"))
        else:
            assert len(self.index.centroids()) == 0

    def teardown(self) -> None:
        assert self.index.verify() == []
        self.index.close()
        shutil.rmtree(self.folder)


CentroidMachine.TestCase.settings = settings(max_examples=12, stateful_step_count=10, deadline=None)
TestCentroidMachine = CentroidMachine.TestCase


SPOILS = {
    "UPDATE centroids SET sum = zeroblob(64) WHERE label = 'dome'": "'dome': the checksum does not match",
    "UPDATE centroids SET count = 9 WHERE label = 'dome'": "'dome': counts 9 photos, and 10 are there",
    "DELETE FROM centroids WHERE label = 'dome'": "label 'dome': has photos and no centroid",
    "UPDATE images SET label = 'tower' WHERE id = 1": "'dome': counts 10 photos, and 9 are there",
    "UPDATE centroids SET (sum, crc) = (SELECT sum, crc FROM centroids WHERE label = 'dome') "
    "WHERE label = 'tower'": "'tower': is not the sum of its photos",
}


@pytest.mark.parametrize("statement", SPOILS)
def test_verify_names_what_was_changed(tmp_path: Path, statement: str) -> None:
    with Index.create(tmp_path / "index", DIM, centroids="beside") as index:
        index.add(points(30), table([LABELS[row % 3] for row in range(30)]))
    connection = sqlite3.connect(tmp_path / "index" / "index.sqlite")
    with connection:
        connection.execute(statement)
    connection.close()
    with Index.open(tmp_path / "index") as index:
        problems = index.verify()
        assert any(SPOILS[statement] in problem for problem in problems), problems
        if "zeroblob" in statement:
            with pytest.raises(PerisphereError, match="centroid of 'dome' is damaged"):
                index.centroids()
            with pytest.raises(PerisphereError, match="centroid of 'dome' is damaged"):
                index.remove([1])
            assert len(index) == 30


def test_more_sums_than_fit_into_memory_are_written_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perisphere.index.sums.PENDING_BYTES", 8 * DIM * 3)
    monkeypatch.setattr("perisphere.index.store.BLOCK_BYTES", 4 * DIM * 5)
    vectors, labels = points(64), [str(row % 7) for row in range(64)]
    with Index.create(tmp_path / "index", DIM, centroids="beside") as index:
        index.add(vectors, table(labels))
        index.remove(list(range(2, 60, 3)))
        keep = [row for row in range(64) if row + 1 not in range(2, 60, 3)]
        assert_centroids(index, expected(vectors[keep], [labels[row] for row in keep], "cosine"))
        assert index.verify() == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_a_killed_writer_leaves_centroids_and_photos_of_one_moment(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    Index.create(folder, DIM, centroids="beside").close()
    moments = random.Random(0)

    def change(say) -> None:
        with Index.open(folder) as index:
            say("ready")
            for number in range(1000):
                index.add(points(30, number), table([str((number + row) % 11) for row in range(30)]))
                index.remove(index.ids()[:20])
                say("changed")

    changed = 0
    for _ in range(15):
        with child(change) as (pid, said):
            assert said.readline() == "ready\n"
            for _ in range(moments.randrange(3)):
                assert said.readline() == "changed\n"
                changed += 1
            time.sleep(moments.random() * 0.03)
            os.kill(pid, signal.SIGKILL)
        with Index.open(folder) as index:
            assert index.verify() == []
            assert int(index.centroids().counts.sum()) == len(index)
    assert changed > 5
