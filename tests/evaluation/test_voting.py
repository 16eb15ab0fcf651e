from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perisphere.errors import UsageError
from perisphere.evaluation.voting import TEMPERATURE, accuracy, balanced_accuracy, codes, ranked_classes


@given(st.lists(st.integers(-1, 4), min_size=1, max_size=9), st.integers(0, 1000), st.booleans())
def test_votes_equal_those_counted_one_by_one(classes, seed, weighted):
    scores = -np.sort(-np.random.default_rng(seed).uniform(-1, 1, len(classes)))
    votes: dict[int, float] = defaultdict(float)
    for label, score in zip(classes, scores, strict=True):
        if label >= 0:
            votes[label] += np.exp(score / TEMPERATURE) if weighted else 1
    expected = sorted(votes, key=lambda label: (-votes[label], classes.index(label)))[:3]
    found = ranked_classes(
        np.array([classes]), scores[None], top=3, vote="weighted" if weighted else "majority"
    )
    assert found[0].tolist() == expected + [-1] * (3 - len(expected))


def test_equal_votes_go_to_the_nearer():
    assert ranked_classes(np.array([[7, 3, 3, 7]]), np.ones((1, 4)), vote="majority")[0, :2].tolist() == [
        7,
        3,
    ]


def test_the_weighted_vote_follows_the_near_ones():
    classes, scores = np.array([[1, 2, 2]]), np.array([[0.9, 0.5, 0.5]])
    assert ranked_classes(classes, scores, vote="majority")[0, 0] == 2
    assert ranked_classes(classes, scores, vote="weighted")[0, 0] == 1


def test_accuracies():
    truth = np.array([0, 0, 0, 1])
    ranked = np.array([[0, 1], [0, 1], [0, 1], [0, 1]])
    assert accuracy(truth, ranked) == 0.75
    assert accuracy(truth, ranked, 2) == 1.0
    assert balanced_accuracy(truth, ranked) == 0.5


def test_codes_grow_and_none_has_none():
    known: dict = {}
    assert codes(["b", None, "a"], known).tolist() == [0, -1, 1]
    assert codes(["a", "c"], known).tolist() == [1, 2]


def test_an_unknown_vote_is_named():
    with pytest.raises(UsageError, match="vote 'loudest'"):
        ranked_classes(np.zeros((1, 1), int), np.zeros((1, 1)), vote="loudest")
