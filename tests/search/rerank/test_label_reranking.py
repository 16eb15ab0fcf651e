"""Label re-ranking, against worked numbers and as a stable partition of the whole ranking."""

import json

import numpy as np
import pytest
from galleries import searched
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from perisphere.errors import PerisphereError
from perisphere.index.ranking import NONE, Ranking
from perisphere.search.rerank import (
    ArrayGallery,
    Context,
    LabelReranking,
    SoftLabelReranking,
    majority,
    parse_chain,
)

METRICS = {"L1": "l1", "L2": "l2", "L3": "cosine"}


@pytest.fixture(scope="session")
def golden(shared):
    return json.loads((shared / "golden" / "landmarks.json").read_text())["cases"]


def given_distances(distances, labels) -> tuple[Ranking, Context]:
    """The whole ranking of one query whose distances are known; ties keep the gallery's order."""
    distances = np.array(distances, np.float32)
    order = np.argsort(distances, kind="stable")
    ranking = Ranking(order[None], -distances[order][None], "exact", "l2")
    return ranking, Context(
        ArrayGallery(distances[:, None], "l2", labels=labels), np.zeros((1, 1), np.float32)
    )


def test_the_worked_lists(golden):
    for case in golden["landmark_label_reranking"]:
        labels, out = case["inputs"]["labels"], case["outputs"]
        ranking, context = given_distances(case["inputs"]["distances"], labels)
        assert majority([labels[place] for place in ranking.ids[0, :3]]) == out["predicted_class"]
        assert ranking.first(5).ids[0].tolist() == out["order_method_one"]
        assert LabelReranking()(ranking, context).first(5).ids[0].tolist() == out["order_method_two"]


@pytest.mark.parametrize("distance", METRICS)
def test_the_worked_system(golden, distance):
    """Whole lists, and lists cut to five before they are re-ranked, which must not change their beginning."""
    case = golden["landmark_pipeline"][0]["inputs"]
    out = golden["landmark_pipeline"][0]["outputs"][distance]
    gallery = ArrayGallery(
        np.array(case["index_vectors"], np.float32), METRICS[distance], labels=case["index_labels"]
    )
    context = Context(gallery, np.array(case["query_vectors"], np.float32))
    for depth, expected in ((len(case["index_labels"]), "full_order_method_two"), (5, "top5_method_two")):
        ranking = context.search(context.queries, depth)
        assert LabelReranking()(ranking, context).ids.tolist() == out[expected]
    assert ranking.ids.tolist() == out["top5_method_one"]
    voted = [majority(context.labels(ids[:3])) for ids in ranking.ids]
    assert voted == out["predicted_class"]


@settings(deadline=None, max_examples=40)
@given(
    labels=st.lists(st.sampled_from(["a", "b", "C", None]), min_size=1, max_size=30),
    vote=st.integers(1, 6),
    data=st.data(),
)
def test_it_is_a_stable_partition(labels, vote, data):
    assume(any(label is not None for label in labels))
    distances = data.draw(st.lists(st.integers(0, 9), min_size=len(labels), max_size=len(labels)))
    k = data.draw(st.integers(1, len(labels)))
    ranking, context = given_distances(distances, labels)
    whole = ranking.ids[0].tolist()
    predicted = majority(labels[place] for place in whole[:vote])
    first = [place for place in whole if predicted is not None and labels[place] == predicted]
    expected = first + [place for place in whole if place not in first]
    assert LabelReranking(vote=vote)(ranking, context).ids[0].tolist() == expected
    if k >= vote:
        assert LabelReranking(vote=vote)(ranking.first(k), context).ids[0].tolist() == expected[:k]
    if predicted is not None:
        again = majority(labels[place] for place in expected[: min(vote, len(first))])
        assert again == predicted


@pytest.mark.parametrize("metric", ["cosine", "l2", "l1"])
def test_a_cut_list_begins_as_the_whole_one(metric):
    whole, context = searched(queries=9, k=39, metric=metric)
    for k in (3, 7, 20):
        cut = LabelReranking()(whole.first(k), context)
        full = LabelReranking()(whole, context)
        assert cut.ids.tolist() == full.first(k).ids.tolist()
        np.testing.assert_allclose(cut.scores, full.first(k).scores, atol=1e-5)


def test_nothing_hidden_is_fetched():
    whole, context = searched(queries=4, k=44)
    label = majority(context.labels(whole.ids[0, :3]))
    members = context.gallery.members(label)
    hidden = [frozenset(members[3:].tolist()), *[frozenset()] * 3]
    context = Context(context.gallery, context.queries, hidden)
    found = LabelReranking()(context.search(context.queries, 5), context)
    assert not hidden[0] & set(found.ids[0].tolist())


def test_a_list_without_labels_stays_as_it_is():
    ranking, context = given_distances([0.1, 0.4, 0.3, 0.2], [None, "beyond the list", None, None])
    ranking = ranking.first(3)
    assert LabelReranking()(ranking, context).ids.tolist() == ranking.ids.tolist()
    assert SoftLabelReranking()(ranking, context).ids.tolist() == ranking.ids.tolist()


@pytest.mark.parametrize("name", ["label", "softlabel"])
def test_a_gallery_without_labels_is_an_error(name):
    ranking, context = given_distances([0.1, 0.3, 0.2], [None, None, None])
    with pytest.raises(PerisphereError, match=rf"^`{name}` .* no image .* leave `{name}` out\.$"):
        parse_chain(name)(ranking, context)
    empty = Ranking(np.full((1, 2), NONE), np.full((1, 2), -np.inf, np.float32), "exact", "l2")
    assert parse_chain(name)(empty, context).ids.tolist() == [[NONE, NONE]]


@pytest.mark.parametrize("chain", ["label(vote=0)", "softlabel(n=0)", "softlabel(weight=0)"])
def test_without_weight_no_label_is_needed(chain):
    ranking, context = given_distances([0.1, 0.3, 0.2], [None, None, None])
    assert parse_chain(chain)(ranking, context).ids.tolist() == ranking.ids.tolist()


def test_empty_places_stay_last():
    _, context = given_distances([0.1, 0.3, 0.2], ["b", "a", "a"])
    short = Ranking(np.array([[0, 2, NONE]]), np.array([[-0.1, -0.2, -np.inf]], np.float32), "exact", "l2")
    assert LabelReranking()(short, context).ids.tolist() == [[2, 1, 0]]
    assert SoftLabelReranking()(short, context).ids[0, 2] == NONE


def test_the_soft_variant_keeps_a_much_better_result_and_a_close_second_class():
    """The vote goes to the wrong class: the nearest image is kept where the hard rule pushes it down."""
    ranking, context = given_distances(
        [0.01, 0.5, 0.52, 0.55, 0.6], ["right", "wrong", "wrong", "right", "other"]
    )
    assert LabelReranking()(ranking, context).ids[0].tolist() == [1, 2, 0, 3, 4]
    assert SoftLabelReranking()(ranking, context).ids[0, :2].tolist() == [0, 3]


def test_soft_scores_fall_to_the_end_of_the_list():
    ranking, context = searched(k=40)
    found = SoftLabelReranking(depth=10)(ranking, context)
    assert (np.diff(found.scores, axis=1) <= 0).all()
    assert found.ids[:, 10:].tolist() == ranking.ids[:, 10:].tolist()
    assert sorted(found.ids[0, :10]) == sorted(ranking.ids[0, :10])


def test_both_help_where_the_vote_is_mostly_right():
    vectors = searched(queries=30, k=18, noise=1.0, each=14)
    ranking, context = vectors
    truth = [majority(context.labels(ids)) for ids in ranking.ids[:, :1]]

    def precision(found: Ranking) -> float:
        return float(
            np.mean(
                [
                    [label == t for label in context.labels(ids)]
                    for ids, t in zip(found.ids, truth, strict=True)
                ]
            )
        )

    before = precision(ranking.first(8))
    for chain in ("label(vote=1)", "softlabel"):
        assert precision(parse_chain(chain)(ranking, context).first(8)) > before
