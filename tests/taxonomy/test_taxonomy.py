import gzip
import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.errors import PerisphereError
from perisphere.taxonomy import Taxonomy

PAIRS = [(10, 11), (10, 12), (11, 0), (11, 1), (12, 2), (12, 13), (13, 3), (13, 4)]
DAG = [(10, 11), (10, 12), (11, 0), (11, 1), (12, 1), (12, 2), (12, 13), (13, 3), (11, 3)]


def golden(shared) -> dict[str, dict]:
    return json.loads((shared / "golden" / "hierarchy.json").read_text())["cases"]


def text(tmp_path, content, name="tree.txt"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@st.composite
def dags(draw):
    """Relations from smaller to larger ids, each id but the first below some other: a DAG of one root."""
    count = draw(st.integers(2, 12))
    pairs = set()
    for child in range(1, count):
        pairs |= {
            (parent, child) for parent in draw(st.sets(st.integers(0, child - 1), min_size=1, max_size=3))
        }
    return sorted(pairs)


@pytest.mark.parametrize("case", ["small_tree", "uneven_tree", "dag"])
def test_heights_depths_and_subsumers_are_the_published_ones(shared, case):
    known = golden(shared)[case]
    taxonomy = Taxonomy.from_pairs(tuple(pair) for pair in known["pairs"])
    assert taxonomy.is_tree is known["is_tree"]
    assert taxonomy.height == known["max_height"]
    assert list(taxonomy.leaves) == known["classes"]
    assert {str(node): taxonomy.height_of(node) for node in taxonomy.ids} == known["heights"]
    for path in ("longest", "shortest"):
        assert {str(node): taxonomy.depth_of(node, path) for node in taxonomy.ids} == known[f"depth_{path}"]
    classes = known["classes"]
    assert [[taxonomy.shortest_path(a, b) for b in classes] for a in classes] == known["shortest_path"]
    found = [[taxonomy.lcs(a, b) for b in classes] for a in classes]
    for row, expected in zip(found, known["lcs"], strict=True):
        for ours, theirs in zip(row, expected, strict=True):  # of subsumers as deep any may be published
            assert taxonomy.depth_of(ours) == taxonomy.depth_of(theirs)
            assert taxonomy.is_tree is False or ours == theirs


def test_of_subsumers_as_deep_the_lowest_then_the_smallest_id_counts():
    taxonomy = Taxonomy.from_pairs(DAG)
    assert taxonomy.lcs(1, 3) == 11  # 12 is as deep, but higher
    twins = Taxonomy.from_pairs([(9, 7), (9, 5), (7, 1), (7, 2), (5, 1), (5, 2)])
    assert twins.lcs(1, 2) == 5


def test_several_roots_have_no_common_subsumer():
    taxonomy = Taxonomy.from_pairs([("a", "x"), ("b", "y"), ("y", "z")])
    assert taxonomy.roots == ("a", "b")
    assert taxonomy.height == 2
    assert taxonomy.lcs("x", "z") is None
    assert taxonomy.shortest_path("x", "z") is None


def test_ids_stand_in_order_of_number_or_text():
    assert Taxonomy.from_pairs([(100, 20), (100, 3)]).leaves == (3, 20)
    assert Taxonomy.from_pairs([("r", "20"), ("r", "3")]).leaves == ("20", "3")


def test_ways_up_and_down():
    taxonomy = Taxonomy.from_pairs(DAG)
    assert taxonomy.ancestors(3) == (3, 11, 13, 10, 12)
    assert taxonomy.distances(3) == {3: 0, 11: 1, 13: 1, 10: 2, 12: 2}
    assert taxonomy.leaves_under(12) == (1, 2, 3)
    assert taxonomy.leaves_under(2) == (2,)
    assert taxonomy.parents(1) == (11, 12)
    assert taxonomy.children(12) == (1, 2, 13)
    assert taxonomy.pairs == sorted(DAG)


@settings(deadline=None)
@given(dags())
def test_any_dag_keeps_its_invariants(pairs):
    taxonomy = Taxonomy.from_pairs(reversed(pairs))
    assert taxonomy.roots == (0,)
    assert sorted(taxonomy.pairs) == pairs
    for parent, child in pairs:
        assert taxonomy.height_of(parent) > taxonomy.height_of(child)
        assert taxonomy.depth_of(parent) < taxonomy.depth_of(child)
        assert taxonomy.depth_of(child, "shortest") <= taxonomy.depth_of(child)
        assert set(taxonomy.ancestors(parent)) < set(taxonomy.ancestors(child))
        assert set(taxonomy.leaves_under(child)) <= set(taxonomy.leaves_under(parent))
    for a, b in pairwise(taxonomy.ids):
        assert taxonomy.lcs(a, b) == taxonomy.lcs(b, a)
        assert taxonomy.lcs(a, a) == a
        assert taxonomy.shortest_path(a, b) >= 1


def test_a_long_chain_needs_no_deep_recursion():
    taxonomy = Taxonomy.from_pairs((number, number + 1) for number in range(5000))
    assert taxonomy.height == 5000
    assert taxonomy.depth_of(5000) == 5001
    assert taxonomy.shortest_path(0, 5000) == 5000


def test_files_in_either_order_plain_or_gzipped(tmp_path):
    lines = "".join(f"{a} {b}\n" for a, b in PAIRS)
    expected = Taxonomy.from_pairs(PAIRS).pairs
    assert Taxonomy.load(text(tmp_path, "\ufeff\n" + lines + "\n  \r\n")).pairs == expected
    assert Taxonomy.load(text(tmp_path, gzip.compress(lines.encode()), "tree.gz")).pairs == expected
    turned = "".join(f"{b}\t{a}\n" for a, b in PAIRS)
    assert Taxonomy.load(text(tmp_path, turned), child_parent=True).pairs == expected


def test_ids_are_integers_only_where_all_are(tmp_path):
    assert Taxonomy.load(text(tmp_path, "1 2\n1 03\n")).ids == (1, 2, 3)
    assert Taxonomy.load(text(tmp_path, "1 2\n1 x y\n")).ids == ("1", "2", "x y")
    assert Taxonomy.load(text(tmp_path, "1 2\n1 03\n"), ids="str").ids == ("03", "1", "2")
    with pytest.raises(PerisphereError, match=r"line 2: 'x y' is no integer.*--string-ids"):
        Taxonomy.load(text(tmp_path, "1 2\n1 x y\n"), ids="int")


def test_repeated_lines_count_once(tmp_path):
    taxonomy = Taxonomy.load(text(tmp_path, "1 2\n1 3\n1 2\n1 2\n"))
    assert taxonomy.repeated == 2
    assert taxonomy.is_tree
    assert taxonomy.parents(2) == (1,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("1 2\n3\n", "line 2: holds the one id '3'"),
        ("1 2\n\n2 2\n", "line 3: 2 is its own parent"),
        ("0 1\n1 2\n2 3\n3 1\n", "line 4: closes a cycle, 1 -> 2 -> 3 -> 1; 3 ids have no path to a root"),
        ("1 2\n2 1\n", "line 2: closes a cycle, .* and there is no root"),
        (b"1 2\n\x00\x01 3\n", "line 2: is binary"),
        (b"1 2\n\xff\xfe 3\n", "line 2: is not UTF-8"),
        (gzip.compress(b"1 2\n" * 1000, mtime=0)[:-20], "is damaged"),
        (b"\x1f\x8bnothing", "is damaged"),
    ],
)
def test_a_bad_file_is_one_line_that_says_where(tmp_path, content, message):
    path = text(tmp_path, content)
    with pytest.raises(PerisphereError, match=message) as caught:
        Taxonomy.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(PerisphereError, match=r"none\.txt: cannot be read"):
        Taxonomy.load(tmp_path / "none.txt")


def test_pairs_of_one_kind_and_never_none():
    with pytest.raises(PerisphereError, match="at least one relation"):
        Taxonomy.from_pairs([])
    with pytest.raises(PerisphereError, match="relation 2: ids must be all integers or all texts"):
        Taxonomy.from_pairs([(1, 2), (1, "3")])


def test_nodes_are_found_by_id_then_by_name(tmp_path):
    names = text(
        tmp_path, "0 Song Sparrow\n1 song_sparrow\n2 Crane\n3 crane\n11 Sparrows\n13 2\n", "names.txt"
    )
    pairs = [(10, 11), (10, 12), (11, 0), (11, 1), (12, 2), (12, 13), (13, 3), (13, 4)]
    taxonomy = Taxonomy.load(text(tmp_path, "".join(f"{a} {b}\n" for a, b in pairs)), names=names)
    assert taxonomy.find("2") == 2  # the id, not the name of 13
    assert taxonomy.find("Song Sparrow") == 0
    assert taxonomy.find("song_sparrow") == 1
    assert taxonomy.find("sparrows") == 11
    assert taxonomy.classes_of(["crane", "Crane", "4"]) == [3, 2, 4]
    with pytest.raises(PerisphereError, match=r"'SONG SPARROW': is the name of several nodes \(0, 1\)"):
        taxonomy.find("SONG SPARROW")
    with pytest.raises(PerisphereError, match=r"'Sparow': is not in the taxonomy. Did you mean 'Sparrows'"):
        taxonomy.find("Sparow")
    with pytest.raises(PerisphereError, match="2 of 3 classes are not in the taxonomy: 'Cranes', '77'"):
        taxonomy.classes_of(["Cranes", "crane", "77"])


def test_a_name_of_an_inner_node_and_its_leaf_means_the_leaf():
    taxonomy = Taxonomy.from_pairs([(0, 1), (1, 2), (0, 3)], {1: "Robin", 2: "Robin"})
    assert taxonomy.find("robin") == 2


def test_names_from_text_and_class_index(tmp_path):
    tree = text(tmp_path, "n1 n2\nn1 n3\n")
    index = text(tmp_path, '{"0": ["n2", "tench"], "1": ["n3", "ice cream"]}', "index.json")
    assert Taxonomy.load(tree, names=index).names == {"n2": "tench", "n3": "ice cream"}
    flat = text(tmp_path, '{"n2": "tench", "n9": "left out"}', "flat.json")
    assert Taxonomy.load(tree, names=flat).names == {"n2": "tench"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("n.txt", "1 a\n2\n", "line 2: '2' has no name"),
        ("n.txt", "1 a\nx b\n", "line 2: 'x' is no integer"),
        ("n.txt", "2 a\n3 c\n2 b\n", "line 3: id '2' has the name 'a' already"),
        ("n.txt", "7 a\n8 b\n", "names none of the ids"),
        ("n.json", "[1", "is no JSON"),
        ("n.json", "[1]", "is no JSON object"),
        ("n.json", '{"2": 5}', "entry '2': is neither"),
    ],
)
def test_bad_names_are_one_line_that_says_where(tmp_path, name, content, message):
    with pytest.raises(PerisphereError, match=message):
        Taxonomy.load(text(tmp_path, "1 2\n1 3\n"), names=text(tmp_path, content, name))


def test_an_unknown_id_is_an_error():
    taxonomy = Taxonomy.from_pairs(PAIRS)
    with pytest.raises(PerisphereError, match="class 99: is not in the taxonomy"):
        taxonomy.height_of(99)
    assert 99 not in taxonomy
    assert 3 in taxonomy


@pytest.mark.parametrize(
    ("file", "options", "nodes", "leaves", "height", "tree", "roots"),
    [
        ("cifar10/cifar10.parent-child.txt", {}, 19, 10, 4, True, 1),
        ("cifar100/cifar.parent-child.txt", {}, 163, 100, 8, True, 1),
        ("nabirds/hierarchy.txt", {"child_parent": True}, 1011, 555, 4, True, 1),
        ("cub/cub_flat.parent-child.txt", {}, 368, 200, 4, True, 1),
        ("inat/hierarchy_inat.txt", {}, 14036, 8142, 7, True, 1),
        ("ilsvrc/wordnet.parent-child.mintree.txt", {}, 1785, 1000, 18, True, 1),
        ("ilsvrc/wordnet.parent-child.pruned.txt.gz", {}, 73473, 57130, 19, False, 129),
    ],
)
def test_real_taxonomies(shared, file, options, nodes, leaves, height, tree, roots):
    taxonomy = Taxonomy.load(shared / "data" / "hierarchies" / file, **options)
    assert (len(taxonomy), len(taxonomy.leaves), taxonomy.height) == (nodes, leaves, height)
    assert (taxonomy.is_tree, len(taxonomy.roots)) == (tree, roots)
