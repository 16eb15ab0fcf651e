"""Diffusion against the closed form, and what its graph has to be."""

import numpy as np
import pytest
from galleries import clustered, searched
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.search.rerank import ArrayGallery, Context, Diffusion
from perisphere.search.rerank.diffusion import affinity, normalised
from perisphere.sphere import normalise


def closed_form(query, vectors, k, kq, gamma, alpha):
    """``(I - alpha S)^-1 y`` of dense float64 matrices, edge by edge."""
    count = len(vectors)
    similar = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    np.fill_diagonal(similar, -np.inf)
    near = [set(np.argsort(-row, kind="stable")[:k].tolist()) for row in similar]
    graph = np.zeros((count, count))
    for i in range(count):
        for j in near[i]:
            if i in near[j]:
                graph[i, j] = max(similar[i, j], 0) ** gamma
    degrees = graph.sum(1)
    scale = np.array([d**-0.5 if d > 0 else 0.0 for d in degrees])
    smooth = scale[:, None] * graph * scale[None]
    cosines = vectors.astype(np.float64) @ query
    start = np.zeros(count)
    nearest = np.argsort(-cosines, kind="stable")[:kq]
    start[nearest] = np.maximum(cosines[nearest], 0) ** gamma
    return np.linalg.solve(np.eye(count) - alpha * smooth, start)


@pytest.mark.parametrize(("k", "kq", "gamma", "alpha"), [(5, 3, 3, 0.9), (50, 10, 3, 0.99), (4, 1, 1, 0.5)])
def test_the_closed_form(k, kq, gamma, alpha):
    ranking, context = searched(k=43, noise=0.6)
    # Float32 and a stop at 1e-6 of the residual stay well within this.
    found = Diffusion(k=k, kq=kq, gamma=gamma, alpha=alpha, iterations=500)(ranking, context)
    for query in range(len(found)):
        vectors = context.vectors(found.ids[query])
        expected = closed_form(context.queries[query], vectors, k, kq, gamma, alpha)
        np.testing.assert_allclose(found.scores[query], expected, atol=1e-4 * expected.max())
        assert (np.diff(found.scores[query]) <= 0).all()


def test_only_the_depth_is_solved():
    ranking, context = searched(k=40)
    found = Diffusion(k=5, kq=3, depth=15)(ranking, context)
    cut = Diffusion(k=5, kq=3)(ranking.first(15), context)
    assert found.ids[:, :15].tolist() == cut.ids.tolist()
    assert found.ids[:, 15:].tolist() == ranking.ids[:, 15:].tolist()


def test_without_flow_nothing_changes():
    ranking, context = searched(k=40)
    assert Diffusion(alpha=0)(ranking, context) == ranking


def test_similarity_flows_along_a_bent_class():
    """Points on an arc: the far end is nearer along the arc than the cluster that lies across."""
    angles = np.concatenate([np.linspace(0, 2.4, 25), np.full(10, -1.4) + np.linspace(-0.05, 0.05, 10)])
    vectors = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    context = Context(ArrayGallery(vectors), vectors[:1])
    ranking = context.search(context.queries, 35)
    before, after = ranking.ids[0], Diffusion(k=4, kq=3, iterations=200)(ranking, context).ids[0]
    assert set(before[:25].tolist()) != set(range(25))
    assert set(after[:25].tolist()) == set(range(25))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 30), k=st.integers(1, 12))
def test_the_graph_is_symmetric_without_loops_and_smooth(seed, count, k):
    vectors = normalise(np.random.default_rng(seed).normal(size=(count, 4)))
    graph = affinity(vectors, k, 3.0)
    dense = graph.toarray()
    np.testing.assert_array_equal(dense, dense.T)
    assert (dense.diagonal() == 0).all()
    assert (dense >= 0).all()
    assert (np.count_nonzero(dense, axis=1) <= k).all()
    # No eigenvalue of S exceeds 1, so that every alpha below 1 has a solution.
    assert np.abs(np.linalg.eigvalsh(normalised(graph).toarray())).max() < 1 + 1e-9


def test_lonely_images_are_no_division_by_zero():
    vectors = np.eye(5, dtype=np.float32)
    context = Context(ArrayGallery(vectors), normalise(np.array([[1.0, 0.5, 0, 0, 0]])))
    with np.errstate(all="raise"):
        found = Diffusion(k=2)(context.search(context.queries, 5), context)
    assert found.ids[0, :2].tolist() == [0, 1]
    assert np.isfinite(found.scores).all()


def test_what_nothing_flows_to_keeps_its_order():
    vectors, _ = clustered(classes=3, each=6, dim=40, noise=0.02)
    context = Context(ArrayGallery(vectors), vectors[:1])
    ranking = context.search(context.queries, 18)
    found = Diffusion(k=3, kq=2)(ranking, context)
    assert found.ids[0, 6:].tolist() == ranking.ids[0, 6:].tolist()
    assert set(found.ids[0, :6].tolist()) == set(range(6))
