"""The tree of classes, from class points, categories or labels, and searches by its nodes."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from served import client_of, painted

from perisphere.encoder import Encoder, Preprocessing
from perisphere.index import Index
from perisphere.nets import NetSpec, build
from perisphere.serve.classes import class_tree
from perisphere.taxonomy import ClassPoints, Taxonomy

NAMES = {1: "building", 2: "church", 3: "dome", 4: "tower", 5: "ship"}
PAIRS = [(0, 1), (0, 5), (1, 2), (2, 3), (1, 4)]
LABELS = ["dome", "dome", "tower", "3", "unknown"]


def points(taxonomy: Taxonomy | None) -> ClassPoints:
    rows = np.random.default_rng(0).standard_normal((3, 192))
    return ClassPoints(rows / np.linalg.norm(rows, axis=1, keepdims=True), ("3", "4", "5"), taxonomy)


def make(folder: Path, classes: ClassPoints | None, **columns: Any) -> Path:
    net = build(NetSpec(backbone="pixels", input_size=8))
    encoder = Encoder(net, Preprocessing(size=(8, 8)), name="pixels", classes=classes)
    vectors = encoder.encode([painted("sky", number) for number in range(len(LABELS))])
    with Index.create(folder / "index", encoder=encoder) as index:
        index.add(vectors, pl.DataFrame(columns), encoder_identity=encoder.identity)
    return folder / "index"


def by_name(nodes: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """All nodes of a tree by their title."""
    found = {node["title"]: node for node in nodes}
    for node in nodes:
        found |= by_name(node["children"])
    return found


def test_the_taxonomy_of_class_points_is_the_tree(tmp_path: Path) -> None:
    folder = make(tmp_path, points(Taxonomy.from_pairs(PAIRS, NAMES)), label=LABELS)
    with client_of(folder) as client:
        assert client.get("/about").json()["can"]["classes"] is True
        tree = client.get("/classes").json()["nodes"]
        nodes = by_name(tree)
        assert {title: node["count"] for title, node in nodes.items()} == {
            "0": 4,
            "building": 4,
            "church": 3,
            "dome": 3,
            "tower": 1,
            "ship": 0,
        }
        assert nodes["ship"]["where"] is None
        for node in nodes.values():
            if node["where"] is not None:
                facets = client.get("/facets", params={"where": node["where"]}).json()
                assert facets["images"] == node["count"]
            answer = client.post("/search", json={"like": [{"class": node["name"]}], "k": 2})
            assert (answer.status_code == 200) == node["query"], answer.text
        assert nodes["church"]["query"]


def test_class_points_without_a_taxonomy_are_a_list(tmp_path: Path) -> None:
    folder = make(tmp_path, points(None), label=["3", "3", "4", None, "x"])
    with Index.open(folder) as index:
        tree = class_tree(index, points(None))
    assert [(node["name"], node["count"], node["where"]) for node in tree] == [
        ("3", 2, "label == '3'"),
        ("4", 1, "label == '4'"),
        ("5", 0, None),
    ]


@pytest.mark.parametrize("label", ["it's", 'say "so"', "back\\slash", "new\nline", "é", "a' or '1' == '1"])
def test_filters_of_labels_with_strange_characters_choose_them(tmp_path: Path, label: str) -> None:
    folder = make(tmp_path, None, label=[label, label, "other", "other", "other"])
    with Index.open(folder) as index:
        for node in class_tree(index, None):
            assert len(index.ids(node["where"])) == node["count"]


def test_a_class_whose_filter_is_longer_than_filters_may_be_has_none(tmp_path: Path) -> None:
    folder = make(tmp_path, None, label=["x" * 5000, "y", "y", "y", "y"])
    with Index.open(folder) as index:
        nodes = class_tree(index, None)
    assert [(node["count"], node["where"]) for node in nodes] == [(1, None), (4, "label == 'y'")]


def test_a_category_in_two_places_is_two_nodes(tmp_path: Path) -> None:
    paths = [["a", "door"], ["b", "door"], ["b", "door"], ["b"], None]
    folder = make(tmp_path, None, categories=paths)
    with Index.open(folder) as index:
        tree = class_tree(index, None)
        for node in (*tree, *(child for root in tree for child in root["children"])):
            assert len(index.ids(node["where"])) == node["count"]
    assert [(node["name"], node["count"]) for node in tree] == [("a", 1), ("b", 3)]
    assert [[child["count"] for child in node["children"]] for node in tree] == [[1], [2]]


def test_an_index_of_nothing_has_no_classes(tmp_path: Path) -> None:
    with Index.create(tmp_path / "index", 4) as index:
        assert class_tree(index, None) == []
