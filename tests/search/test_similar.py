"""The most similar of a gallery of features as files, as the published program ranks them."""

import json
import pickle

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.encoder.features import Features
from perisphere.errors import PerisphereError, UsageError
from perisphere.search import similar
from perisphere.search.similar import nearest, write_similar
from perisphere.search.similar_files import convert_results, read_results
from perisphere.search.similar_sheet import similar_answers


def _drawn(rows: int, seed: int, names: str = "p", dim: int = 6) -> Features:
    vectors = np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32) * 3
    return Features(vectors, [f"/{names}/{row % 3}/{row:03}.jpg" for row in range(rows)])


@pytest.fixture
def sides() -> tuple[Features, Features]:
    return _drawn(7, 1, "q"), _drawn(40, 2, "g")


def _plain(queries, gallery, distance, normalise):
    """Distances as the program computes them, then a sort of everything."""
    x, y = queries.vectors.astype(float), gallery.vectors.astype(float)
    if normalise or distance == "cosine":
        x, y = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (x, y))
    if distance == "cosine":
        matrix = np.abs(1 - x @ y.T)
    else:
        matrix = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
    order = np.argsort(matrix, axis=1)
    return order, np.take_along_axis(matrix, order, axis=1)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("topk", [5, 0, 1000])
def test_results_are_those_of_the_published_program(sides, tmp_path, distance, normalise, topk) -> None:
    out = write_similar(*sides, tmp_path / "r", topk=topk, distance=distance, normalise=normalise)
    order, distances = _plain(*sides, distance, normalise)
    k = 5 if topk == 5 else 40
    found = read_results(out / "results.parquet")
    assert found["query"].to_list() == sides[0].names
    np.testing.assert_array_equal(np.array(found["indices"].to_list()), order[:, :k])
    np.testing.assert_allclose(np.array(found["distances"].to_list()), distances[:, :k], rtol=1e-4, atol=1e-5)
    assert found["paths"].to_list() == [[sides[1].names[place] for place in row] for row in order[:, :k]]
    kept = np.load(out / "query_embeddings.npy", allow_pickle=False)
    lengths = np.linalg.norm(sides[0].vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(kept, sides[0].vectors / (lengths if normalise else 1), rtol=1e-5)
    assert np.load(out / "query_paths.npy", allow_pickle=False).tolist() == sides[0].names


def test_json_holds_the_same(sides, tmp_path) -> None:
    for form in ("parquet", "json"):
        write_similar(*sides, tmp_path / form, topk=3, format=form)
    assert read_results(tmp_path / "json" / "results.json").equals(
        read_results(tmp_path / "parquet" / "results.parquet")
    )
    held = json.loads((tmp_path / "json" / "results.json").read_text())
    assert list(held) == sides[0].names
    assert set(held[sides[0].names[0]]) == {"indices", "paths", "distances"}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 12))
def test_a_rotation_changes_no_ranking(seed, k) -> None:
    rng = np.random.default_rng(seed)
    queries, gallery = (rng.normal(size=(rows, 8)).astype(np.float32) for rows in (4, 12))
    rotation = np.linalg.qr(rng.normal(size=(8, 8)))[0].astype(np.float32)
    for distance in ("cosine", "euclidean"):
        one = next(nearest(queries, gallery, k, distance))
        other = next(nearest(queries @ rotation, gallery @ rotation, k, distance))
        np.testing.assert_allclose(one.distances, other.distances, rtol=1e-3, atol=1e-4)


def test_blocks_change_nothing_and_a_stopped_ranking_goes_on(sides, tmp_path, monkeypatch) -> None:
    write_similar(*sides, tmp_path / "whole", topk=4)
    monkeypatch.setattr(similar, "BLOCK", 2)
    blocks = []
    keep = similar._Parts.write

    def stopping(self, table, start):
        blocks.append(start)
        if len(blocks) == 3:
            raise KeyboardInterrupt
        keep(self, table, start)

    monkeypatch.setattr(similar._Parts, "write", stopping)
    with pytest.raises(KeyboardInterrupt):
        write_similar(*sides, tmp_path / "out", topk=4)
    write_similar(*sides, tmp_path / "out", topk=4)
    assert blocks == [0, 2, 4, 4, 6]
    assert read_results(tmp_path / "out" / "results.parquet").equals(
        read_results(tmp_path / "whole" / "results.parquet")
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "whole"]


@pytest.mark.parametrize("change", ["topk", "queries", "gallery"])
def test_blocks_of_another_question_are_not_taken(sides, tmp_path, monkeypatch, change) -> None:
    monkeypatch.setattr(similar, "BLOCK", 2)
    with monkeypatch.context() as patch:
        patch.setattr(similar, "whole_folder", None)  # all blocks are there, and then it stops
        with pytest.raises(TypeError):
            write_similar(*sides, tmp_path / "out", topk=4)
    sides = {"queries": (_drawn(7, 5, "q"), sides[1]), "gallery": (sides[0], _drawn(40, 6, "g"))}.get(
        change, sides
    )
    topk = 3 if change == "topk" else 4
    write_similar(*sides, tmp_path / "out", topk=topk)
    expected = _plain(*sides, "cosine", False)[0][:, :topk]
    found = read_results(tmp_path / "out" / "results.parquet")
    np.testing.assert_array_equal(np.array(found["indices"].to_list()), expected)


def test_what_cannot_be_compared_is_refused(sides, tmp_path) -> None:
    queries, gallery = sides
    named = [{"encoder": {"name": name, "identity": name * 4}} for name in "ab"]
    with pytest.raises(PerisphereError, match=r"of the encoder a \(aaaa\), the gallery of b \(bbbb\)"):
        write_similar(
            Features(queries.vectors, queries.names, None, named[0]),
            Features(gallery.vectors, gallery.names, None, named[1]),
            tmp_path / "out",
        )
    with pytest.raises(PerisphereError, match="queries of 6 numbers cannot be compared with a gallery of 4"):
        write_similar(queries, _drawn(3, 0, dim=4), tmp_path / "out")
    with pytest.raises(PerisphereError, match="the gallery have no features"):
        write_similar(queries, _drawn(0, 0), tmp_path / "out")
    for options, message in (
        ({"topk": -1}, "topk is -1"),
        ({"distance": "l1"}, "distance 'l1' is unknown; use cosine or euclidean"),
        ({"format": "npy"}, "format 'npy' is unknown"),
    ):
        with pytest.raises(UsageError, match=message):
            write_similar(queries, gallery, tmp_path / "out", **options)
    assert not list(tmp_path.iterdir())


def test_a_published_results_file_is_converted_and_not_run(sides, tmp_path) -> None:
    order, distances = _plain(*sides, "cosine", True)
    names = np.array(sides[1].names)
    old = {
        query: {"indices": row[:3], "paths": names[row[:3]], "distances": far[:3].astype(np.float32)}
        for query, row, far in zip(np.array(sides[0].names), order, distances, strict=True)
    }
    np.save(tmp_path / "results.npy", old)
    for form in ("parquet", "json"):
        assert convert_results(tmp_path / "results.npy", tmp_path / f"new.{form}") == 7
        found = read_results(tmp_path / f"new.{form}")
        assert found["query"].to_list() == sides[0].names
        np.testing.assert_array_equal(np.array(found["indices"].to_list()), order[:, :3])
        assert found["paths"].to_list() == names[order[:, :3]].tolist()
        np.testing.assert_allclose(np.array(found["distances"].to_list()), distances[:, :3], rtol=1e-6)
    with pytest.raises(PerisphereError, match="exists already"):
        convert_results(tmp_path / "results.npy", tmp_path / "new.json")
    with pytest.raises(UsageError, match=r"are written as \.parquet or \.json"):
        convert_results(tmp_path / "results.npy", tmp_path / "new.npy")


class _Runs:
    def __reduce__(self):
        return (exec, ("raise SystemExit",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"q": _Runs()}, "asks for 'builtins.exec'"),
        ([1, 2], "it is no dict of results"),
        (
            {"q": {"indices": np.array([1.5]), "paths": np.array(["a"]), "distances": np.array([1.0])}},
            "no whole",
        ),
        (
            {"q": {"indices": np.array([1, 2]), "paths": np.array(["a"]), "distances": np.array([1.0])}},
            "lengths",
        ),
        ({"q": {"indices": np.array([1])}}, "holds no results"),
        ({"q": 3}, "holds no results"),
    ],
)
def test_other_pickles_are_refused_in_one_line(tmp_path, content, message) -> None:
    held = np.empty((), object)
    held[()] = content
    np.save(tmp_path / "results.npy", held)
    assert pickle.dumps(content)
    with pytest.raises(PerisphereError, match=message):
        read_results(tmp_path / "results.npy")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(PerisphereError, match=r"deep\.json: is damaged"):
        read_results(tmp_path / "deep.json")
    with pytest.raises(UsageError, match=r"results are \.parquet, \.json or \.npy"):
        read_results(tmp_path / "results.txt")


def test_a_sheet_says_what_is_right_and_shows_who_stands_behind_a_centroid(sides, tmp_path) -> None:
    out = write_similar(*sides, tmp_path / "out", topk=20)
    results = read_results(out / "results.parquet")
    answers = similar_answers(results, sides[1], by="folder")
    assert [answer.label for answer in answers] == ["0", "1", "2", "0", "1", "2", "0"]
    for answer, row in zip(answers, results.iter_rows(named=True), strict=True):
        assert [result.path for result in answer.results] == row["paths"][:10]
        rights = [result.path.split("/")[2] == answer.label for result in answer.results]
        assert [answer.right(result) for result in answer.results] == rights
    assert {result.label for result in similar_answers(results, sides[1])[0].results} == {None}
    members = pl.DataFrame({"identity": ["0", "0", "1"], "path": ["/a/0.jpg", "/a/1.jpg", "/a/2.jpg"]})
    centred = Features(sides[1].vectors[:2], ["0", "1"], members, {"centroids": "folder"})
    found = similar_answers(
        read_results(
            write_similar(sides[0], centred, tmp_path / "c", distance="euclidean") / "results.parquet"
        ),
        centred,
        distance="euclidean",
    )
    result = next(result for result in found[0].results if result.label == "0")
    assert result.count == 2
    assert [str(path) for path in result.examples] == ["/a/0.jpg", "/a/1.jpg"]
    assert found[0].right(result)
    far = np.linalg.norm(sides[0].vectors[0] - centred.vectors[0])
    assert result.score == pytest.approx(-far, rel=1e-4)
