import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.errors import PerisphereError, UsageError
from perisphere.taxonomy import Taxonomy, similarities


@pytest.mark.parametrize("case", ["small_tree", "uneven_tree", "dag"])
def test_both_similarities_are_the_published_ones(shared, case):
    known = json.loads((shared / "golden" / "hierarchy.json").read_text())["cases"][case]
    taxonomy = Taxonomy.from_pairs(tuple(pair) for pair in known["pairs"])
    by_height = similarities(taxonomy, known["classes"], "lcs_height")
    np.testing.assert_allclose(1 - by_height, known["lcs_height_dissimilarity"], atol=1e-15)
    np.testing.assert_allclose(similarities(taxonomy, known["classes"], "wup"), known["wup"], atol=1e-15)


@st.composite
def dag_and_classes(draw):
    count = draw(st.integers(2, 12))
    names = draw(st.permutations(range(count)))
    pairs = [
        (names[parent], names[child])
        for child in range(1, count)
        for parent in draw(st.sets(st.integers(0, child - 1), min_size=1, max_size=3))
    ]
    classes = draw(st.lists(st.sampled_from(sorted(names)), min_size=1, max_size=8))
    return Taxonomy.from_pairs(pairs), classes


@settings(deadline=None)
@given(dag_and_classes())
def test_all_pairs_at_once_equal_each_pair_alone(case):
    taxonomy, classes = case
    by_height = similarities(taxonomy, classes, "lcs_height")
    by_depth = similarities(taxonomy, classes, "wup")
    for i, a in enumerate(classes):
        for j, b in enumerate(classes):
            subsumer = taxonomy.lcs(a, b)
            depth = taxonomy.depth_of(subsumer)
            ways = taxonomy.shortest_path(a, subsumer) + taxonomy.shortest_path(b, subsumer)
            assert by_height[i, j] == 1 - taxonomy.height_of(subsumer) / taxonomy.height
            assert by_depth[i, j] == pytest.approx(2 * depth / (2 * depth + ways), abs=1e-15)
    assert (by_height >= 0).all()
    assert (by_depth > 0).all()
    assert (by_depth <= 1).all()


def test_classes_without_a_common_ancestor_are_named():
    taxonomy = Taxonomy.from_pairs([("a", "x"), ("b", "y")])
    with pytest.raises(PerisphereError, match="classes 'x' and 'y': have no common ancestor"):
        similarities(taxonomy, ["x", "y"])
    assert similarities(taxonomy, ["x"]).tolist() == [[1.0]]


def test_unknown_classes_kinds_and_too_many_classes():
    taxonomy = Taxonomy.from_pairs([(0, 1), (0, 2)])
    with pytest.raises(PerisphereError, match="class 9: is not in the taxonomy"):
        similarities(taxonomy, [1, 9])
    with pytest.raises(UsageError, match=r"similarity 'wpu' is unknown.*Did you mean 'wup'"):
        similarities(taxonomy, [1, 2], "wpu")
    with pytest.raises(PerisphereError, match="20,001 classes take too much memory"):
        similarities(taxonomy, [1] * 20_001)
