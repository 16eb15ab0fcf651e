import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.errors import PerisphereError
from perisphere.methods import mining
from perisphere.methods.mining import hard_negatives


def test_published_tuples(shared: Path) -> None:
    (case,) = json.loads((shared / "golden/landmarks.json").read_text())["cases"]["hard_negative_mining"]
    given, expected = case["inputs"], case["outputs"]
    vectors = np.array(given["vectors_n_by_d"], np.float32)
    classes = np.array(given["cluster_of_image"])
    queries = given["query_indices"]
    mined = hard_negatives(vectors[queries], classes[queries], vectors, classes, given["negatives_per_query"])
    found = [
        [query, positive, negatives]
        for query, positive, negatives in zip(
            queries, given["positive_indices"], mined.negatives.tolist(), strict=True
        )
    ]
    assert found == expected["tuples_query_positive_negatives"]
    assert mined.distance == pytest.approx(expected["average_negative_distance"], abs=1e-4)


def walked(query: np.ndarray, of: int, pool: np.ndarray, classes: np.ndarray, count: int) -> list[int]:
    """The definition: down the ranking, skipping the query's class and classes already taken."""
    taken: list[int] = []
    for row in np.argsort(-(pool @ query), kind="stable"):
        if classes[row] != of and classes[row] not in classes[taken]:
            taken.append(int(row))
        if len(taken) == count:
            break
    return taken


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 999), st.integers(1, 40), st.integers(1, 4), st.booleans())
def test_the_same_as_walking_down_the_ranking(seed: int, images: int, count: int, ties: bool) -> None:
    draw = np.random.default_rng(seed)
    pool = draw.integers(-1, 2, (images, 2)).astype(float) if ties else draw.normal(size=(images, 4))
    classes = draw.integers(0, 8, images) * 3
    queries, own = draw.permutation(pool)[:5], draw.integers(0, 9, min(5, images)) * 3
    few = min(len(set(classes.tolist()) - {int(of)}) for of in own)
    if few < count:
        return
    mined = hard_negatives(queries, own, pool, classes, count)
    for query, of, negatives in zip(queries, own, mined.negatives, strict=True):
        assert negatives.tolist() == walked(query, int(of), pool, classes, count)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    pool, classes = draw.normal(size=(60, 6)), draw.integers(0, 12, 60)
    whole = hard_negatives(pool, classes, pool, classes, 5)
    monkeypatch.setattr(mining, "BLOCK", 7)
    parts = hard_negatives(pool, classes, pool, classes, 5)
    np.testing.assert_array_equal(parts.negatives, whole.negatives)
    assert parts.distance == pytest.approx(whole.distance)


def test_too_few_classes_are_an_error_not_a_run_off_the_end() -> None:
    pool, classes = np.eye(4), np.array([0, 0, 1, 2])
    assert hard_negatives(pool[:1], classes[:1], pool, classes, 2).negatives.shape == (1, 2)
    with pytest.raises(PerisphereError, match="needs 3 from as many other classes, the pool has 2"):
        hard_negatives(pool[:1], classes[:1], pool, classes, 3)
    with pytest.raises(PerisphereError, match="give at least 1"):
        hard_negatives(pool[:1], classes[:1], pool, classes, 0)
    # A query whose class the pool does not have may take from all of its classes.
    assert hard_negatives(pool[:1], np.array([9]), pool, classes, 3).negatives.shape == (1, 3)
