import json

import numpy as np
import pytest

from perisphere.errors import PerisphereError
from perisphere.taxonomy import Taxonomy, similarities
from perisphere.taxonomy.class_list import read_class_list
from perisphere.taxonomy.inaturalist import read_inaturalist
from perisphere.taxonomy.indented import read_indented
from perisphere.taxonomy.names import read_names, write_names
from perisphere.taxonomy.reduction import reduce_to_tree, restrict
from perisphere.taxonomy.relations import read_relations, write_relations
from perisphere.taxonomy.wordnet import read_wordnet

HYPHENS = "thing\n\n-- animal\n---- cat\n---- sea lion ?\n-- tool (made)\n---- saw\n"
RANKS = ("kingdom", "phylum", "class", "order", "family", "genus")


def file(tmp_path, content, name="in.txt"):
    path = tmp_path / name
    path.write_text(content)
    return path


def by_name(taxonomy):
    return sorted((taxonomy.name_of(parent), taxonomy.name_of(child)) for parent, child in taxonomy.pairs)


def test_indented_text_by_hyphens_numbers_leaves_first(tmp_path):
    read = read_indented(file(tmp_path, HYPHENS), remarks=True)
    assert read.names == {0: "cat", 1: "sea lion", 2: "saw", 3: "thing", 4: "animal", 5: "tool"}
    assert read.pairs == [(3, 4), (3, 5), (4, 0), (4, 1), (5, 2)]


def test_indented_text_by_blanks_and_tabs(tmp_path):
    blanks = "thing\n  animal\n     cat\n     sea lion\n  tool\n     saw\n"
    tabs = blanks.replace("     ", "\t\t").replace("  ", "\t")
    expected = by_name(read_indented(file(tmp_path, HYPHENS), remarks=True))
    assert by_name(read_indented(file(tmp_path, blanks))) == expected
    assert by_name(read_indented(file(tmp_path, tabs))) == expected


def test_known_ids_are_kept_and_others_numbered_on_or_made_of_the_name(tmp_path):
    path = file(tmp_path, HYPHENS)
    read = read_indented(path, {7: "saw", 9: "cat"}, remarks=True)
    assert read.names == {7: "saw", 9: "cat", 10: "sea lion", 11: "thing", 12: "animal", 13: "tool"}
    texts = read_indented(path, {"n7": "saw"}, remarks=True, string_ids=True)
    assert texts.leaves == ("cat", "n7", "sea_lion")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\n-- b\n-- b\n", "line 3: 'b' stands twice"),
        ("a\n    b\n  c\n", "line 3: is indented as no line above it"),
        ("a\nb\n", "no line is indented"),
    ],
)
def test_indented_text_that_is_none(tmp_path, content, message):
    with pytest.raises(PerisphereError, match=message):
        read_indented(file(tmp_path, content))


def test_a_known_name_that_is_missing(tmp_path):
    with pytest.raises(PerisphereError, match=r"does not hold 'dog', which has an id \(2 such names\)"):
        read_indented(file(tmp_path, HYPHENS), {1: "dog", 2: "eel"})


@pytest.mark.parametrize(
    ("folder", "indented", "relations", "names", "remarks", "known"),
    [
        ("cifar100", "hierarchy.txt", "cifar.parent-child.txt", "class_names.txt", False, 100),
        ("cub", "hierarchy_flat.txt", "cub_flat.parent-child.txt", "classes_flat.txt", True, 200),
        ("cub", "hierarchy_balanced.txt", "cub_balanced.parent-child.txt", "classes_balanced.txt", True, 200),
    ],
)
def test_published_indented_texts_give_the_published_relations(
    shared, folder, indented, relations, names, remarks, known
):
    root = shared / "data" / "hierarchies" / folder
    published = Taxonomy.load(root / relations, names=root / names)
    ids = dict(list(read_names(root / names, 0).items())[:known])
    read = read_indented(root / indented, ids, remarks=remarks)
    assert by_name(read) == by_name(published)
    assert set(read.ids) == set(published.ids)
    classes = published.leaves
    np.testing.assert_array_equal(similarities(read, classes), similarities(published, classes))


def category(number, chain, supercategory, name):
    return dict(zip(RANKS, chain, strict=True), id=number, supercategory=supercategory, name=name)


CATEGORIES = [
    category(0, ("Animalia", "Chordata", "Aves", "Aves", "Corvidae", "Corvus"), "Aves", "Corvus corax"),
    category(1, ("Animalia", "Chordata", "Aves", "Aves", "Corvidae", "Pica"), "Aves", "Pica pica"),
    category(2, ("Plantae", "Tra cheo", "L", "A", "Iridaceae", "Iris"), "Plantae", "Iris x"),
]


def test_inaturalist_categories(tmp_path):
    path = file(tmp_path, json.dumps({"images": [], "categories": CATEGORIES}), "train2018.json")
    read = read_inaturalist(path)
    assert read.roots == ("__NULL__",)
    assert read.leaves == ("0", "1", "2")
    assert read.names == {"0": "Corvus corax", "1": "Pica pica", "2": "Iris x"}
    assert read.lcs("0", "1") == "Corvidae"
    assert read.ancestors("0") == ("0", "Corvus", "Corvidae", "Aves", "Chordata", "Animalia", "__NULL__")
    assert "Tra_cheo" in read
    birds = read_inaturalist(path, "Aves")
    assert birds.leaves == ("0", "1")
    with pytest.raises(PerisphereError, match=r"super-category 'Avse'. Did you mean 'Aves'"):
        read_inaturalist(path, "Avse")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "is no JSON"),
        ('{"images": []}', "has no list 'categories'"),
        (json.dumps({"categories": [{**CATEGORIES[0], "genus": None}]}), "category 0: has no 'genus'"),
        (json.dumps({"categories": []}), "no category"),
    ],
)
def test_inaturalist_files_that_are_none(tmp_path, content, message):
    with pytest.raises(PerisphereError, match=message):
        read_inaturalist(file(tmp_path, content, "c.json"))


NOUNS = """\
  1 This software and database is being provided to you, the LICENSEE, by
00001740 03 n 01 entity 0 001 ~ 00001930 n 0000 | that which is
00001930 03 n 01 physical_entity 0 001 @ 00001740 n 0000 | an entity that
00002137 05 n 0a dog 0 b 0 c 0 d 0 e 0 f 0 g 0 h 0 i 0 j 0 002 @ 00001930 n 0000 + 00009999 v 0101 | barks
00003000 18 n 01 Rex 0 001 @i 00002137 n 0000 | a dog | with bars
"""


def test_wordnet_nouns(tmp_path):
    read = read_wordnet(file(tmp_path, NOUNS, "data.noun"))
    assert read.pairs == [("n00001740", "n00001930"), ("n00001930", "n00002137"), ("n00002137", "n00003000")]
    assert read.names["n00001930"] == "physical entity"
    with pytest.raises(PerisphereError, match="line 2: is no synset"):
        read_wordnet(file(tmp_path, NOUNS.splitlines()[1] + "\nn0001 x\n"))
    with pytest.raises(PerisphereError, match="line 1: is no synset"):
        read_wordnet(file(tmp_path, "00001930 03 n 01 entity 0 003 @ 00001740 n 0000 | cut\n"))


def test_relations_and_names_are_read_as_written(tmp_path):
    pairs = [("a", "b"), ("a", "c d")]
    write_relations(tmp_path / "r.txt", pairs)
    assert read_relations(tmp_path / "r.txt").pairs == pairs
    with pytest.raises(PerisphereError, match="id 'c d' holds white space"):
        write_relations(tmp_path / "r2.txt", [("c d", "e")])
    assert not (tmp_path / "r2.txt").exists()
    write_names(tmp_path / "n.txt", {1: "great\nauk", 2: "x"})
    assert read_names(tmp_path / "n.txt", 1) == {1: "great auk", 2: "x"}


def test_class_lists_keep_their_order(tmp_path):
    taxonomy = Taxonomy.from_pairs([(0, 1), (0, 2), (0, 3)])
    assert read_class_list(file(tmp_path, "3 three\n\n1\n3\n"), taxonomy) == [3, 1]
    with pytest.raises(PerisphereError, match="line 2: class '7' is not in the taxonomy"):
        read_class_list(file(tmp_path, "3\n7\n"), taxonomy)


def test_a_restricted_taxonomy_ends_at_its_classes():
    taxonomy = Taxonomy.from_pairs([("r", "a"), ("a", "x"), ("x", "puppy"), ("r", "b"), ("b", "y")])
    assert restrict(taxonomy, ["x"]).pairs == [("a", "x"), ("r", "a")]


def test_a_reduced_dag_is_a_tree_that_joins_by_the_fewest_new_nodes():
    pairs = [("r", "a"), ("a", "x"), ("r", "b"), ("b", "c"), ("c", "y"), ("a", "y"), ("b", "z"), ("d", "z")]
    pairs += [("r", "d")]
    tree = reduce_to_tree(Taxonomy.from_pairs(pairs), ["x", "y", "z"])
    assert tree.is_tree
    assert tree.leaves == ("x", "y", "z")
    assert tree.parents("y") == ("a",)  # no new node; by c it would be two
    assert tree.parents("z") == ("b",)  # as near by d; the first
    with pytest.raises(PerisphereError, match="class 'q': is not"):
        reduce_to_tree(tree, ["q"])


def test_ilsvrc_reduces_to_the_published_tree_but_for_its_open_ties(shared):
    root = shared / "data" / "hierarchies" / "ilsvrc"
    published = Taxonomy.load(root / "wordnet.parent-child.mintree.txt")
    classes = published.leaves
    tree = reduce_to_tree(Taxonomy.load(root / "wordnet.parent-child.pruned.txt.gz"), classes)
    assert tree.is_tree
    assert tree.leaves == classes
    assert len(tree) == len(published) == 1785
    assert len(set(tree.pairs) & set(published.pairs)) == 1775
    assert sum(tree.ancestors(each) == published.ancestors(each) for each in classes) == 991
