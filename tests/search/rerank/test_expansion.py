"""Query expansion and database augmentation, against their formulas."""

import numpy as np
import pytest
from galleries import clustered, searched

from perisphere.search.rerank import (
    AlphaExpansion,
    ArrayGallery,
    Context,
    DatabaseAugmentation,
    QueryExpansion,
    augmented,
    parse_chain,
)
from perisphere.sphere import normalise, top_k


def by_formula(point, vectors, n, alpha, own=None):
    """``x + sum of max(x . x_i, 0) ** alpha x_i`` over the n nearest, at length 1; in float64."""
    similarities = vectors.astype(np.float64) @ point
    if own is not None:
        similarities[own] = -np.inf
    nearest = np.argsort(-similarities, kind="stable")[:n]
    total = point + sum(max(similarities[i], 0.0) ** alpha * vectors[i] for i in nearest)
    return total / np.linalg.norm(total)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
def test_the_query_moves_as_the_formula_says(alpha):
    ranking, context = searched(queries=7)
    moved = QueryExpansion(n=6, alpha=alpha).move(ranking, context)
    vectors = context.vectors(context.gallery.ids())
    for query, point in zip(moved.queries, context.queries, strict=True):
        np.testing.assert_allclose(query, by_formula(point, vectors, 6, alpha), atol=1e-6)


def test_the_second_search_is_with_the_moved_query():
    ranking, context = searched(queries=7)
    found = QueryExpansion(n=6)(ranking, context)
    moved = QueryExpansion(n=6).move(ranking, context)
    ids, scores = top_k(moved.queries, context.vectors(context.gallery.ids()), 20)
    assert found.ids.tolist() == ids.tolist()
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)


def test_the_papers_parameters():
    assert (AlphaExpansion().n, AlphaExpansion().alpha) == (50, 3.0)
    assert QueryExpansion().alpha == 0


def test_a_depth_scores_only_the_head_again():
    ranking, context = searched(queries=7, k=30)
    full = QueryExpansion(n=5, alpha=3)(ranking, context)
    found = QueryExpansion(n=5, alpha=3, depth=12)(ranking, context)
    assert found.ids[:, 12:].tolist() == ranking.ids[:, 12:].tolist()
    for query in range(7):
        head = set(ranking.ids[query, :12].tolist())
        assert found.ids[query, :12].tolist() == [i for i in full.ids[query].tolist() if i in head] + [
            i for i in found.ids[query, :12].tolist() if i not in full.ids[query]
        ]
    everything = QueryExpansion(n=5, alpha=3, depth=43)(context.search(context.queries, 43), context)
    assert everything.first(30).ids.tolist() == full.ids.tolist()


def test_a_short_list_counts_what_is_there():
    """Three images, ten asked for: the empty places weigh nothing."""
    vectors = normalise(np.random.default_rng(0).normal(size=(3, 4)))
    context = Context(ArrayGallery(vectors), normalise(np.ones((1, 4))))
    moved = QueryExpansion(n=10).move(context.search(context.queries, 10), context)
    np.testing.assert_allclose(moved.queries[0], by_formula(context.queries[0], vectors, 3, 0), atol=1e-6)


def test_opposite_points_leave_the_query_where_it_was():
    point = np.array([[1.0, 0.0]], np.float32)
    context = Context(ArrayGallery(-point), point)
    moved = QueryExpansion(n=1).move(context.search(point, 1), context)
    np.testing.assert_array_equal(moved.queries, point)


def test_distances_move_to_the_weighted_mean():
    """Without the sphere the moved point is the mean itself, not a direction."""
    vectors = np.array([[2.0, 0.0], [4.0, 0.0], [0.0, 9.0]], np.float32)
    context = Context(ArrayGallery(vectors, "l2"), np.array([[3.0, 0.0]], np.float32))
    moved = QueryExpansion(n=2).move(context.search(context.queries, 2), context)
    np.testing.assert_allclose(moved.queries, [[3.0, 0.0]], atol=1e-6)


@pytest.mark.parametrize("alpha", [1.0, 2.0, 3.0])
def test_a_neighbour_on_the_other_side_weighs_nothing(alpha):
    """A negative cosine: neither does it push the query away, nor does an even power pull it over."""
    vectors = np.array([[0.8, 0.6], [-0.6, 0.8]], np.float32)
    context = Context(ArrayGallery(vectors), np.array([[1.0, 0.0]], np.float32))
    moved = QueryExpansion(n=2, alpha=alpha).move(context.search(context.queries, 2), context)
    expected = by_formula(context.queries[0], vectors, 1, alpha)
    np.testing.assert_allclose(moved.queries[0], expected, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 3.0])
def test_every_image_moves_as_the_formula_says(alpha):
    vectors, _ = clustered()
    found = augmented(ArrayGallery(vectors), 4, alpha)
    for place in range(len(vectors)):
        expected = by_formula(vectors[place], vectors, 4, alpha, own=place)
        np.testing.assert_allclose(found[place], expected, atol=1e-6)


def test_copies_of_one_image_do_not_push_each_other_out():
    vectors = np.repeat(normalise(np.random.default_rng(0).normal(size=(2, 5))), 6, axis=0)
    np.testing.assert_allclose(augmented(ArrayGallery(vectors), 3, 3.0), vectors, atol=1e-6)


def test_blocks_change_nothing(monkeypatch):
    vectors, _ = clustered()
    whole = augmented(ArrayGallery(vectors), 4, 3.0)
    monkeypatch.setattr("perisphere.search.rerank.expansion.BLOCK_BYTES", 1000)
    np.testing.assert_allclose(augmented(ArrayGallery(vectors), 4, 3.0), whole, atol=1e-6)


def test_the_moved_gallery_answers_for_the_same_images():
    ranking, context = searched(queries=4)
    moved = DatabaseAugmentation(n=4).move(ranking, context).gallery
    ids = context.gallery.ids()
    assert moved.ids().tolist() == ids.tolist()
    assert moved.labels(ids) == context.labels(ids)
    assert moved.members("class 1").tolist() == context.gallery.members("class 1").tolist()
    assert not np.allclose(moved.vectors(ids), context.vectors(ids))


@pytest.mark.parametrize("chain", ["aqe(n=4)", "alphaqe(n=6)", "dba(n=4)", "dba(n=4)+aqe(n=4)"])
def test_neighbours_help(chain):
    ranking, context = searched(queries=40, k=20, noise=1.6, each=20, dim=24, seed=3)
    vectors, labels = clustered(noise=1.6, each=20, dim=24, seed=3)
    truth = [labels[place] for place in np.random.default_rng(3).permutation(len(vectors))[:40]]

    def precision(found) -> float:
        right = [
            [label == t for label in context.labels(ids)] for ids, t in zip(found.ids, truth, strict=True)
        ]
        return float(np.mean(right))

    assert precision(parse_chain(chain)(ranking, context)) > precision(ranking) + 0.02
