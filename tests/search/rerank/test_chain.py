"""Chains: how they are read, what they refuse, and what every re-ranker promises."""

import numpy as np
import pytest
from galleries import contents, searched
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index
from perisphere.index.ranking import NONE, Ranking
from perisphere.search.rerank import (
    RERANKERS,
    ArrayGallery,
    Chain,
    Context,
    IndexGallery,
    LabelReranking,
    QueryExpansion,
    parse_chain,
)
from perisphere.search.rerank.reranker import Mover

IDENTITIES = [
    "label(vote=0)",
    "softlabel(n=0)",
    "softlabel(weight=0)",
    "aqe(n=0)",
    "alphaqe(n=0)",
    "dba(n=0)",
    "kreciprocal(weight=0)",
    "diffusion(alpha=0)",
    "geometric(n=0)",
]


def test_a_chain_is_read_and_written():
    chain = parse_chain(" aqe(n=10, alpha=3) + label ")
    assert chain == Chain((QueryExpansion(n=10, alpha=3.0), LabelReranking()))
    assert str(chain) == "aqe(n=10,alpha=3,depth=0)+label(vote=3)"
    assert parse_chain(str(chain)) == chain
    assert (chain.width, parse_chain("label()").width) == (10, 3)


@pytest.mark.parametrize("name", RERANKERS)
def test_every_re_ranker_is_read_back_from_its_text(name):
    chain = parse_chain(name)
    assert parse_chain(str(chain)) == chain


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("aqe+", "cannot be read"),
        ("aqe(n=10", "cannot be read"),
        ("__import__('os')", "there is no '__import__'"),
        ("kreciprocl", "there is no 'kreciprocl'"),
        ("lable", "Did you mean 'label'?"),
        ("aqe(m=10)", "aqe has no 'm'; it has n, alpha, depth"),
        ("aqe(alpa=1)", "Did you mean 'alpha'?"),
        ("aqe(n)", "'n' of aqe cannot be read"),
        ("aqe(n=1,n=2)", "is there twice"),
        ("aqe(n=-1)", "n=-1"),
        ("aqe(n=many)", "n=many"),
        ("aqe(alpha=nan)", "alpha=nan"),
        ("softlabel(temperature=0)", "temperature=0"),
    ],
)
def test_wrong_words_are_one_line_that_says_the_mend(text, message):
    with pytest.raises(UsageError) as found:
        parse_chain(text)
    assert message in str(found.value)
    assert repr(text) in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("chain", IDENTITIES)
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000), k=st.integers(1, 60))
def test_weight_zero_is_the_identity(chain, seed, k):
    ranking, context = searched(seed=seed, k=k)
    found = parse_chain(chain)(ranking, context)
    np.testing.assert_array_equal(found.ids, ranking.ids)
    np.testing.assert_array_equal(found.scores, ranking.scores)


@pytest.mark.parametrize("metric", ["cosine", "l2", "l1"])
@pytest.mark.parametrize("name", [name for name in RERANKERS if name != "geometric"])
def test_every_re_ranker_keeps_the_length_and_invents_nothing(name, metric):
    ranking, context = searched(k=20, metric=metric)
    found = parse_chain(name)(ranking, context)
    assert found.ids.shape == ranking.ids.shape
    assert all(len(ids) == 20 for ids in contents(found))
    assert set(found.ids.ravel()) <= set(context.gallery.ids())
    assert np.isfinite(found.scores).all()
    if not issubclass(RERANKERS[name], Mover | LabelReranking):
        assert contents(found) == contents(ranking)
    if name != "label":
        assert (np.diff(found.scores, axis=1) <= 0).all()
    assert found == parse_chain(name)(ranking, context)
    assert found.road.startswith("exact + " + name)


@pytest.mark.parametrize("name", [name for name in RERANKERS if name != "geometric"])
@pytest.mark.parametrize(("queries", "rows"), [(0, 5), (1, 1), (3, 0), (2, 2)])
def test_little_or_nothing_to_re_rank(name, queries, rows):
    random = np.random.default_rng(0)
    gallery = ArrayGallery(random.normal(size=(rows, 4)).astype(np.float32), labels=["a"] * rows)
    context = Context(gallery, random.normal(size=(queries, 4)).astype(np.float32))
    found = parse_chain(name).search(context, 6)
    assert (found.ids != NONE).sum() == queries * rows
    assert contents(found) == [set(range(rows)) | {NONE}] * queries


@pytest.mark.parametrize("name", [name for name in RERANKERS if name != "geometric"])
def test_what_is_hidden_from_a_query_stays_hidden(name):
    ranking, context = searched(queries=6, k=12)
    hidden = [frozenset(ids[:2].tolist()) for ids in ranking.ids]
    context = Context(context.gallery, context.queries, hidden)
    found = parse_chain(name).search(context, 12)
    assert all(not own & ids for own, ids in zip(hidden, contents(found), strict=True))
    assert (found.ids != NONE).all()


def test_a_later_step_sees_the_moved_points():
    ranking, context = searched(k=20, noise=1.5)
    expansion = QueryExpansion(n=5)
    moved = expansion.move(ranking, context)
    by_hand = parse_chain("softlabel")(expansion(ranking, context), moved)
    assert parse_chain("aqe(n=5)+softlabel")(ranking, context).ids.tolist() == by_hand.ids.tolist()


@pytest.mark.parametrize("name", [name for name in RERANKERS if name != "geometric"])
def test_an_index_and_arrays_give_the_same(name, tmp_path):
    import polars as pl

    ranking, context = searched(k=20)
    ids = context.gallery.ids()
    rows = pl.DataFrame({"label": context.labels(ids)})
    with Index.create(tmp_path / "index", 12) as index:
        given = index.add(context.vectors(ids), rows)
        other = Context(IndexGallery(index), context.queries)
        found = parse_chain(name)(other.search(other.queries, 20), other)
    expected = parse_chain(name)(ranking, context)
    assert found.ids.tolist() == given[expected.ids].tolist()
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)


def test_an_index_s_filter_and_metric_count(tmp_path):
    import polars as pl

    vectors = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    rows = pl.DataFrame(
        {"label": ["a", "b"] * 4, "split": ["x"] * 4 + ["y"] * 4, "path": [f"{i}.jpg" for i in range(8)]}
    )
    with Index.create(tmp_path / "index", 3, metric="l2") as index:
        ids = index.add(vectors, rows, root=tmp_path)
        gallery = IndexGallery(index, where="split == 'x'", metric="cosine")
        assert gallery.ids().tolist() == ids[:4].tolist()
        assert gallery.members("a").tolist() == ids[[0, 2]].tolist()
        assert gallery.labels(ids[[1, 0, 1]]) == ["b", "a", "b"]
        assert gallery.files(ids[[1, 1]]) == [tmp_path / "1.jpg"] * 2
        np.testing.assert_allclose(np.linalg.norm(gallery.vectors(ids), axis=1), 1, atol=1e-6)
        found = gallery.search(vectors[:1], 8)
        assert found.metric == "cosine"
        assert set(found.ids[0].tolist()) == {*ids[:4].tolist(), NONE}


def test_arrays_with_ids_of_their_own():
    vectors = np.eye(3, dtype=np.float32)
    gallery = ArrayGallery(vectors, ids=[30, 10, 20], labels=["x", "y", "x"])
    assert gallery.search(vectors[1:2], 1).ids.tolist() == [[10]]
    assert gallery.vectors(np.array([20, 30])).tolist() == vectors[[2, 0]].tolist()
    assert gallery.members("x").tolist() == [30, 20]
    assert gallery.labels(np.array([10, 20])) == ["y", "x"]
    with pytest.raises(PerisphereError, match="no image with id 5"):
        gallery.vectors(np.array([10, 5]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ids": [1, 1, 2]}, "twice"),
        ({"ids": [1]}, "1 ids for 3 vectors"),
        ({"labels": ["a"]}, "1 labels for 3 vectors"),
        ({"metric": "cosin"}, "metric"),
    ],
)
def test_galleries_that_do_not_fit_are_refused(options, message):
    with pytest.raises(PerisphereError, match=message):
        ArrayGallery(np.eye(3), **options)


def test_a_context_refuses_another_number_of_hidden_sets():
    with pytest.raises(PerisphereError, match="2 hidden for 3 queries"):
        Context(ArrayGallery(np.eye(3)), np.eye(3, dtype=np.float32), [frozenset()] * 2)


def test_first_keeps_what_there_is():
    ranking = Ranking(np.array([[3, 4]]), np.array([[1, 0.5]], np.float32), "exact", "cosine")
    assert ranking.first(5) is ranking
    assert ranking.first(1).ids.tolist() == [[3]]
