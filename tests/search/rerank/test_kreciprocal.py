"""k-reciprocal encoding against its definition, written with sets and dense float64 arrays."""

import numpy as np
import pytest
from galleries import clustered, searched

from perisphere.index.ranking import NONE
from perisphere.search.rerank import ArrayGallery, Context, KReciprocal
from perisphere.search.rerank.kreciprocal import _Images, nearest_neighbours
from perisphere.sphere import normalise


def by_definition(queries, gallery, k1, k2, weight):
    """Return the final distances ``[q, n]`` for all queries and the whole gallery."""
    points = np.concatenate([queries, gallery])
    return between_all(points, k1, k2, weight)[: len(queries), len(queries) :]


def between_all(points, k1, k2, weight):
    """Zhong et al. 2017, section 3, for a set of images: the final distances ``[n, n]``."""
    points = points.astype(np.float64)
    count = len(points)
    squared = np.maximum(2 - 2 * points @ points.T, 0)
    np.fill_diagonal(squared, -1)  # each is its own nearest
    ranks = np.argsort(squared, axis=1, kind="stable")
    np.fill_diagonal(squared, 0)
    scaled = squared / squared.max(1, keepdims=True)

    def mutual(p, k):
        return {int(g) for g in ranks[p, : k + 1] if p in ranks[g, : k + 1]}

    codes = np.zeros((count, count))
    for p in range(count):
        near = mutual(p, k1)
        extended = set(near)
        for g in near:
            half = mutual(g, round(k1 / 2))
            if 3 * len(half & near) >= 2 * len(half):
                extended |= half
        for g in extended:
            codes[p, g] = np.exp(-scaled[p, g])
    codes /= codes.sum(1, keepdims=True)
    codes = np.stack([codes[ranks[p, :k2]].mean(0) for p in range(count)])
    least = np.minimum(codes[:, None], codes[None]).sum(2)
    most = np.maximum(codes[:, None], codes[None]).sum(2)
    return weight * (1 - least / most) + (1 - weight) * scaled


def everything(queries: int = 7, **options) -> tuple:
    _, context = searched(queries, 1, **options)
    return context.search(context.queries, len(context.gallery.ids())), context


@pytest.mark.parametrize(
    ("k1", "k2", "weight"), [(5, 3, 0.7), (8, 1, 1.0), (20, 6, 0.7), (1, 1, 0.5), (3, 8, 0.3), (200, 60, 0.7)]
)
def test_the_definition(k1, k2, weight):
    ranking, context = everything(seed=k1, noise=1.2)
    expected = by_definition(context.queries, context.vectors(context.gallery.ids()), k1, min(k2, 48), weight)
    found = KReciprocal(k1=k1, k2=k2, weight=weight)(ranking, context)
    np.testing.assert_allclose(1 - found.scores, np.take_along_axis(expected, found.ids, 1), atol=2e-6)
    np.testing.assert_allclose(1 - found.scores, np.sort(expected, axis=1), atol=2e-6)


def test_a_depth_encodes_the_heads_of_the_lists():
    """The set of images is the union of the heads; the rest of each list stays behind."""
    ranking, context = everything(queries=3, each=12)
    found = KReciprocal(k1=5, k2=2, depth=9)(ranking, context)
    union = np.unique(ranking.ids[:, :9])
    expected = by_definition(context.queries, context.vectors(union), 5, 2, 0.7)
    for query in range(3):
        head = np.searchsorted(union, ranking.ids[query, :9])
        order = np.argsort(expected[query, head], kind="stable")
        assert found.ids[query, :9].tolist() == ranking.ids[query, :9][order].tolist()
    assert found.ids[:, 9:].tolist() == ranking.ids[:, 9:].tolist()
    assert (np.diff(found.scores, axis=1) <= 0).all()


@pytest.mark.parametrize("strangers", [0, 3])
@pytest.mark.parametrize("ids", [range(48), range(1000, 1048)])
def test_a_query_of_the_gallery_is_there_once(ids, strangers):
    """Leave one out: each asks for all others, beside queries that are no image of the gallery."""
    vectors, _ = clustered(classes=6, each=8, noise=1.2, seed=4)
    others, _ = clustered(classes=1, each=3, noise=1.2, seed=8)
    queries = np.concatenate([others[:strangers], vectors])
    hidden = [*[frozenset()] * strangers, *(frozenset({id_, 5000}) for id_ in ids)]
    context = Context(ArrayGallery(vectors, ids=list(ids)), queries, hidden)
    found = KReciprocal(k1=6, k2=3)(context.search(queries, len(vectors)), context)
    expected = between_all(queries, 6, 3, 0.7)[:, strangers:]
    for query in range(len(queries)):
        there = found.ids[query] != NONE
        assert there.sum() == len(vectors) - (query >= strangers)
        np.testing.assert_allclose(
            1 - found.scores[query, there], expected[query, found.ids[query, there] - ids[0]], atol=2e-6
        )


def test_a_hidden_image_that_is_not_the_query_stays_itself():
    ranking, context = everything()
    hidden = Context(context.gallery, context.queries, [frozenset({0, 1})] * len(context.queries))
    np.testing.assert_array_equal(
        KReciprocal(k1=6, k2=3)(ranking, hidden).scores, KReciprocal(k1=6, k2=3)(ranking, context).scores
    )


def test_alone_an_answer_does_not_depend_on_what_else_was_asked():
    ranking, context = everything()
    alone = KReciprocal(k1=6, k2=3, joint=False)(ranking, context)
    one = Context(context.gallery, context.queries[2:3])
    by_itself = KReciprocal(k1=6, k2=3)(one.search(one.queries, ranking.ids.shape[1]), one)
    assert alone.ids[2].tolist() == by_itself.ids[0].tolist()
    together = KReciprocal(k1=6, k2=3)(ranking, context)
    assert not np.allclose(together.scores, alone.scores)


def test_blocks_change_nothing(monkeypatch):
    ranking, context = everything()
    whole = KReciprocal(k1=6, k2=3)(ranking, context)
    monkeypatch.setattr("perisphere.search.rerank.kreciprocal.BLOCK_BYTES", 2000)
    blocked = KReciprocal(k1=6, k2=3)(ranking, context)
    assert blocked.ids.tolist() == whole.ids.tolist()
    np.testing.assert_allclose(blocked.scores, whole.scores, atol=1e-6)


def test_each_is_its_own_nearest_even_among_copies():
    rows = np.repeat(normalise(np.random.default_rng(0).normal(size=(2, 4))), 5, axis=0)
    neighbours, farthest = nearest_neighbours(_Images(rows[:3], rows[3:]), 4)
    assert neighbours[:, 0].tolist() == list(range(10))
    assert (farthest > 0).all()
    context = Context(ArrayGallery(rows), rows[:2])
    found = KReciprocal(k1=3, k2=2)(context.search(rows[:2], 10), context)
    assert np.isfinite(found.scores).all()
    assert set(found.ids[0, :5].tolist()) == set(range(5))


def test_copies_only_have_no_distances_to_scale():
    rows = np.ones((4, 3), np.float32)
    context = Context(ArrayGallery(rows), rows[:1])
    found = KReciprocal()(context.search(rows[:1], 4), context)
    assert np.isfinite(found.scores).all()


def test_empty_places_stay_empty():
    vectors, _ = clustered(classes=2, each=3)
    context = Context(ArrayGallery(vectors), vectors[:2])
    found = KReciprocal(k1=2, k2=2)(context.search(context.queries, 9), context)
    assert (found.ids[:, 6:] == NONE).all()
    assert (found.ids[:, :6] != NONE).all()
    assert np.isneginf(found.scores[:, 6:]).all()


def test_mutual_neighbours_help_where_classes_overlap():
    vectors, labels = clustered(classes=12, each=16, dim=24, noise=1.7, seed=5)
    order = np.random.default_rng(5).permutation(len(vectors))
    asked, rest = order[:40], order[40:]
    context = Context(ArrayGallery(vectors[rest], labels=[labels[i] for i in rest]), vectors[asked])
    ranking = context.search(context.queries, len(rest))
    truth = np.array([labels[i] for i in asked])[:, None]

    def precision(found) -> float:
        return float((np.array([context.labels(ids) for ids in found.ids[:, :12]]) == truth).mean())

    assert precision(KReciprocal(k1=10, k2=4)(ranking, context)) > precision(ranking) + 0.02
