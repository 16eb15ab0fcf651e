"""Classes as queries: leaves, inner nodes, and what is refused."""

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from asking import ask
from coloured import COLOURS, EACH, pixels, rows

from perisphere.encoder import Encoder
from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index
from perisphere.search import ClassQuery, write_sheet
from perisphere.taxonomy import ClassPoints, Taxonomy

TREE = [("thing", "nature"), ("thing", "made"), ("nature", "l1"), ("nature", "l2"), ("made", "l3")]
LEAVES = {"l1": "sky", "l2": "grass", "l3": "brick"}


@pytest.fixture(scope="module")
def classes(photos: Path) -> ClassPoints:
    """The mean of a new photo and one of the index for each class, as if training had drawn them there."""
    points = [
        pixels().encode([photos / "new" / f"{label}.png", photos / label / "0.png"]).mean(0)
        for label in LEAVES.values()
    ]
    return ClassPoints(np.array(points), tuple(LEAVES), Taxonomy.from_pairs(TREE, LEAVES), "test")


def labels(answer):
    return [result.label for result in answer.results]


def test_a_leaf_and_an_inner_node_find_what_lies_below_them(index, classes):
    assert set(LEAVES.values()) == set(COLOURS)
    found = ask(index, [ClassQuery("brick"), ClassQuery("nature")], 2 * EACH, classes=classes)
    brick, nature = found.answers
    assert labels(brick)[:EACH] == ["brick"] * EACH
    assert set(labels(nature)) == {"sky", "grass"}
    assert [brick.right(result) for result in brick.results] == [True] * EACH + [False] * EACH
    assert all(nature.right(result) for result in nature.results)
    assert (brick.name, nature.name) == ("brick", "nature")
    assert (brick.note, nature.note) == ("class", "class, 2 classes below")
    assert all(result.precision is None for result in brick.results), "known of pairs of photos only"
    middle = classes.points[:2].mean(0)
    vectors = dict(zip(*(part.tolist() for part in index.vectors()), strict=True))
    for result in nature.results:
        expected = np.dot(vectors[result.id], middle / np.linalg.norm(middle))
        assert result.score == pytest.approx(expected, abs=1e-5)


def test_an_inner_node_with_a_point_of_its_own_is_exact(index, classes):
    point = classes.points[2]
    covered = ClassPoints(np.vstack([classes.points, point]), (*LEAVES, "nature"), classes.taxonomy, "test")
    answer = ask(index, [ClassQuery("nature")], EACH, classes=covered).answers[0]
    assert labels(answer) == ["brick"] * EACH
    assert not any(answer.right(result) for result in answer.results)


def test_ids_names_and_photos_in_one_list(index, classes, photos):
    photo = photos / "new" / "sky.png"
    queries = [photo, ClassQuery("l3"), ClassQuery("GRASS")]
    found = ask(index, queries, 3, classes=classes, labels=["sky", None, None])
    alone = ask(index, [photo], 3, labels=["sky"])
    assert found.answers[0] == alone.answers[0]
    assert [answer.results[0].label for answer in found.answers] == ["sky", "brick", "grass"]
    assert [answer.name for answer in found.answers[1:]] == ["brick", "grass"]
    told = json.loads(json.dumps(found.to_dict()))["queries"]
    assert [query["class"] for query in told] == [None, "l3", "GRASS"]
    assert [result["right"] for result in told[1]["results"]] == [True] * 3


def test_the_encoder_of_the_index_brings_its_classes(classes, photos, tmp_path):
    plain, table = pixels(), rows(photos)
    encoder = Encoder(plain.net, plain.preprocessing, name="taught", classes=classes)
    with Index.create(tmp_path / "index", encoder=encoder) as made:
        made.add(encoder.encode([photos / path for path in table["path"]]), table, root=photos)
    with Index.open(tmp_path / "index") as opened:
        answer = ask(opened, [ClassQuery("made")], EACH).answers[0]
        assert labels(answer) == ["brick"] * EACH


def test_classes_alone_need_no_encoder(classes, photos, tmp_path):
    table = rows(photos)
    with Index.create(tmp_path / "bare", pixels().dim) as bare:
        bare.add(pixels().encode([photos / path for path in table["path"]]), table, root=photos)
        assert labels(ask(bare, [ClassQuery("sky")], 3, classes=classes).answers[0]) == ["sky"] * 3
        with pytest.raises(PerisphereError, match=r"knows no classes.*--classes FILE"):
            ask(bare, [ClassQuery("sky")])


def test_without_a_taxonomy_only_the_classes_themselves_can_be_asked_for(index, classes):
    flat = ClassPoints(classes.points, tuple(LEAVES.values()))
    answer = ask(index, [ClassQuery("brick")], 2 * EACH, classes=flat).answers[0]
    assert [answer.right(result) for result in answer.results] == [True] * EACH + [False] * EACH
    with pytest.raises(PerisphereError, match=r"'brik'.*Did you mean 'brick'"):
        ask(index, [ClassQuery("brik")], classes=flat)


def test_labels_that_the_taxonomy_does_not_know_are_neither_right_nor_wrong(index, classes):
    other = Taxonomy.from_pairs(TREE, {"l1": "sky"})
    points = ClassPoints(classes.points, tuple(LEAVES), other, "test")
    answer = ask(index, [ClassQuery("sky")], 2 * EACH, classes=points).answers[0]
    assert {answer.right(result) for result in answer.results if result.label == "sky"} == {True}
    assert {answer.right(result) for result in answer.results if result.label != "sky"} == {None}


def test_filters_cut_offs_metrics_and_re_rankers_count(index, classes):
    query = [ClassQuery("sky")]
    assert ask(index, query, 3, classes=classes, where="label == 'brick'").answers[0].results
    assert not ask(index, query, classes=classes, min_score=2).answers[0].results
    for metric in ("l1", "l2"):
        answer = ask(index, query, 3, classes=classes, metric=metric).answers[0]
        assert labels(answer) == ["sky"] * 3
    again = ask(index, query, 3, classes=classes, rerank="aqe(n=2)").answers[0]
    assert labels(again) == ["sky"] * 3
    with pytest.raises(PerisphereError, match=r"that of the query is not known\. Leave `geometric` out"):
        ask(index, query, classes=classes, rerank="geometric")


def test_what_makes_no_sense_for_a_class(index, classes, photos):
    with pytest.raises(PerisphereError, match=r"'natur'.*Did you mean 'nature'"):
        ask(index, [ClassQuery("natur")], classes=classes)
    with pytest.raises(UsageError, match="Give labels to photos only"):
        ask(index, [ClassQuery("sky")], classes=classes, labels=["sky"])
    with pytest.raises(UsageError, match="Cut by a score"):
        ask(index, [ClassQuery("sky")], classes=classes, min_precision=0.5)
    flat = ClassPoints(np.eye(3), ("a", "b", "c"))
    with pytest.raises(PerisphereError, match=r"have 3 numbers, and .* holds 192"):
        ask(index, [ClassQuery("a")], classes=flat)


def test_the_sheet_shows_the_name_in_place_of_a_photo(index, classes, tmp_path):
    answers = ask(index, [ClassQuery("nature")], 5, classes=classes).answers
    file = write_sheet(tmp_path / "sheet.png", answers)
    with PIL.Image.open(file) as sheet:
        tile = np.asarray(sheet.convert("L"))[92 + 12 : 92 + 224, 44 + 12 : 44 + 224]
    assert (tile < 100).mean() > 0.01, "ink"
    assert (tile > 230).mean() > 0.5, "on an empty mat"
