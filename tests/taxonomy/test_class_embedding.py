import json

import numpy as np
import pytest

from perisphere.errors import PerisphereError, UsageError
from perisphere.taxonomy import ClassPoints, Taxonomy, embed, similarities
from perisphere.taxonomy.embedding import deviation

CASES = ["small_tree", "uneven_tree", "dag"]
TREE = [(10, 11), (10, 12), (11, 0), (11, 1), (12, 2), (12, 13), (13, 3), (13, 4)]


@pytest.fixture(params=CASES)
def case(request, shared):
    known = json.loads((shared / "golden" / "hierarchy.json").read_text())["cases"][request.param]
    return known, Taxonomy.from_pairs(tuple(pair) for pair in known["pairs"])


def test_unitsphere_is_the_published_placement(case):
    known, taxonomy = case
    made = embed(taxonomy, known["classes"])
    np.testing.assert_allclose(made.points, known["unitsphere"], atol=4e-15)
    assert deviation(made)[0] < 1e-14


@pytest.mark.parametrize("dim", [2, 3])
def test_approx_sim_has_the_published_products(case, dim):
    known, taxonomy = case
    points = embed(taxonomy, known["classes"], "approx_sim", num_dim=dim).points
    assert points.shape == (len(known["classes"]), dim)
    np.testing.assert_allclose(points @ points.T, known[f"approx_sim_{dim}_gram"], atol=1e-12)


def test_spheres_are_the_published_ones_or_do_not_meet(case):
    known, taxonomy = case
    if isinstance(known["spheres"], str):
        assert "class #3" in known["spheres"]  # the third, which is class 2
        with pytest.raises(PerisphereError, match="class 2 has no place: the spheres"):
            embed(taxonomy, known["classes"], "spheres")
    else:
        made = embed(taxonomy, known["classes"], "spheres")
        np.testing.assert_allclose(made.points, known["spheres"], atol=1e-12)
        assert deviation(made)[0] < 1e-7


def test_mds_has_the_published_distances(case):
    known, taxonomy = case
    points = embed(taxonomy, known["classes"], "mds").points
    found = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.testing.assert_allclose(found, known["mds_distances"], atol=1e-7)


def test_norm_gives_unit_rows_and_the_deviation_is_of_what_is_kept(monkeypatch):
    monkeypatch.setattr("perisphere.taxonomy.embedding.BLOCK", 10)  # blocks of two rows
    taxonomy = Taxonomy.from_pairs(TREE)
    plain = embed(taxonomy, method="approx_sim", num_dim=3)
    unit = embed(taxonomy, method="approx_sim", num_dim=3, unit=True)
    np.testing.assert_allclose(np.linalg.norm(unit.points, axis=1), 1)
    similar = similarities(taxonomy, taxonomy.leaves)
    for made in (plain, unit):
        off = np.abs(made.points @ made.points.T - similar)
        assert deviation(made) == pytest.approx((off.max(), off.mean()), abs=1e-15)


def test_inner_nodes_and_chosen_orders_have_points_of_their_own():
    taxonomy = Taxonomy.from_pairs(TREE)
    made = embed(taxonomy, [13, 4, 0, 3])
    assert made.classes == ("13", "4", "0", "3")
    assert made.points @ made.points.T == pytest.approx(
        np.array([[1, 2 / 3, 0, 2 / 3], [2 / 3, 1, 0, 2 / 3], [0, 0, 1, 0], [2 / 3, 2 / 3, 0, 1]]), abs=1e-12
    )


def test_classes_that_contradict_each_other_are_named_and_a_mend_is_offered():
    # Pairwise near (2/3) to a middle class but far from one another: no three unit vectors do that.
    pairs = [("r", "p"), ("r", "q"), ("p", "x"), ("p", "m"), ("q", "m"), ("q", "y"), ("r", "s"), ("s", "t")]
    pairs += [("t", "u"), ("u", "v"), ("v", "w")]
    with pytest.raises(PerisphereError, match=r"class 'y' has no place.*\('x', 'm'\).*approx_sim"):
        embed(Taxonomy.from_pairs(pairs), ["x", "m", "y"])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "unitsphare"}, UsageError, "no embedding 'unitsphare'. Did you mean 'unitsphere'"),
        ({"method": "unitsphere", "num_dim": 3}, UsageError, "'--num-dim' is for approx_sim and mds"),
        ({"method": "approx_sim", "num_dim": 6}, UsageError, "must lie between 1 and 5"),
        ({"method": "mds", "num_dim": 5}, UsageError, "must lie between 1 and 4"),
        ({"classes": [0, 1, 0]}, PerisphereError, "class 0: is given twice"),
        ({"classes": [0]}, PerisphereError, "at least two classes"),
        ({"classes": [0, 77]}, PerisphereError, "class 77: is not in the taxonomy"),
        ({"method": "spheres", "unit": True}, PerisphereError, "class 0 is the origin"),
    ],
)
def test_wrong_words(options, error, message):
    with pytest.raises(error, match=message):
        embed(Taxonomy.from_pairs(TREE), **options)


def test_ilsvrc_is_placed_exactly(shared):
    file = shared / "data" / "hierarchies" / "ilsvrc" / "wordnet.parent-child.mintree.txt"
    largest, mean = deviation(embed(Taxonomy.load(file)))
    assert largest < 1e-12
    assert mean <= largest


def test_points_without_a_taxonomy_have_no_target():
    with pytest.raises(PerisphereError, match="without their taxonomy"):
        deviation(ClassPoints(np.eye(2), ("a", "b")))
