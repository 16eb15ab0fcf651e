"""Words beside a point: the score of both, and what is a candidate."""

from pathlib import Path

import numpy as np
import painted
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from perisphere.errors import UsageError
from perisphere.index import Index
from perisphere.index.segmented import bring_regions
from perisphere.search import Answer, Example, Point, Query, Row, fusion, search, write_sheet
from perisphere.search.fusion import joined

PLACES = np.array([[1, 0, 0], [0.9, 0.4, 0], [0, 1, 0], [0, 0.9, 0.4], [0, 0, 1], [0.4, 0, 0.9]])
"""Where the six photos lie."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with words and regions; no test changes it."""
    root = tmp_path_factory.mktemp("both")
    photos = painted.photos_at(root / "photos")
    with Index.create(root / "index", 3) as index:
        index.add(PLACES, painted.table(), root=photos)
        bring_regions(index, painted.segmented(photos, root / "masks"))
    return root / "index"


@pytest.fixture
def index(folder: Path):
    with Index.open(folder) as opened:
        yield opened


def one(index: Index, query: Query) -> Answer:
    (answer,) = search(index, [query]).answers
    return answer


def scores(answer: Answer) -> dict[int, float]:
    return {result.id: result.score for result in answer.results}


def expected(index: Index, row: int, word: str, weight: float) -> dict[int, float]:
    """The formula, from the two searches by themselves."""
    point = scores(one(index, Query.of(Row(row), k=100)))
    words = scores(one(index, Query(words=word, k=100)))
    low, high = min(point.values()), max(point.values())
    return {
        id_: (1 - weight) * (score - low) / (high - low) + weight * words.get(id_, 0)
        for id_, score in point.items()
    }


@pytest.mark.parametrize("weight", [0.25, 0.5, 1.0])
def test_the_score_is_the_mean_of_both(index, weight):
    answer = one(index, Query.of(Row(4), words="portal", words_weight=weight, k=100))
    wanted = expected(index, 4, "portal", weight)
    assert scores(answer) == pytest.approx(wanted, abs=1e-5)
    assert [r.id for r in answer.results] == sorted(wanted, key=lambda id_: (-wanted[id_], id_))
    assert answer.metric == "cosine + words"
    assert answer.road == "exact, captions and categories and regions"
    assert 4 not in scores(answer)
    assert all(result.precision is None for result in answer.results)


def test_both_find_what_neither_puts_first(index, tmp_path):
    query = Query.of(Row(5), words="portal", k=1)
    answer = one(index, query)
    assert list(scores(answer)) == [6], "near the photo, and a portal"
    assert answer.results[0].regions[0].concept == "portal"
    assert (answer.name, answer.note) == ("4.png + 'portal'", "concepts: portal")
    assert answer.to_dict()["words"] == "portal"
    assert answer.label is None, "what is right, the photo's label does not tell"
    assert answer.to_dict()["like"] == [{"id": 5, "weight": 1.0}]
    assert write_sheet(tmp_path / "sheet.png", [answer]).is_file()


def test_words_beside_a_point_may_be_sought_in_regions_alone(index):
    everywhere, words, regions = (
        scores(one(index, Query.of(Row(5), words="window", words_weight=1, by=by, k=9)))
        for by in (None, "words", "regions")
    )
    assert everywhere == words
    assert everywhere != regions
    (found,) = (id_ for id_, score in regions.items() if score)
    assert found == 4


def test_words_of_no_weight_change_nothing(index):
    plain, beside = search(
        index, [Query.of(Row(4), k=9), Query.of(Row(4), words="portal", words_weight=0, k=9)]
    ).answers
    assert plain.results == beside.results
    assert beside.metric == "cosine"


def test_words_with_counter_examples_alone(index):
    plain = one(index, Query(words="portal", k=9))
    away = one(index, Query((), (Example(Row(1)),), words="portal", k=9))
    assert set(scores(away)) == set(scores(plain)) - {1}
    assert list(scores(plain)) == [1, 2, 6]
    assert list(scores(away)) == [6, 2], "2 lies beside what is not wanted"
    ignored = one(index, Query((), (Example(Row(1)),), words="portal", gamma=0, k=9))
    assert scores(ignored) == {id_: score for id_, score in scores(plain).items() if id_ != 1}


def test_candidates_of_both_lists_are_scored_by_both(index, monkeypatch):
    query = Query.of(Point(PLACES[2]), words="portal", words_weight=0.75, k=100)
    whole = scores(one(index, query))
    monkeypatch.setattr(fusion, "CANDIDATES", 1)
    few = one(index, Query.of(Point(PLACES[2]), words="portal", words_weight=0.75, k=1))
    assert list(scores(few)) == [next(iter(whole))]
    (near,) = scores(one(index, Query.of(Point(PLACES[2]), k=1)))
    (written,) = scores(one(index, Query(words="portal", k=1)))
    assert (near, written) == (3, 1), "the two lists have nothing in common"


def test_filters_cut_offs_and_batches(index):
    queries = [
        Query.of(Row(4), words="portal", where="label == 'Dom'", k=9),
        Query.of(Row(4), words="portal", where="label == 'Dom'", k=9, min_score=0.5),
        Query.of(Row(4), words="statue", where="label == 'Dom'", k=9),
        Query.of(Row(5), words="statue", k=2),
    ]
    together = search(index, queries).answers
    assert [scores(answer) for answer in together] == [scores(one(index, query)) for query in queries]
    assert set(scores(together[0])) == {1, 2, 3, 6}
    assert together[1].results == tuple(r for r in together[0].results if r.score >= 0.5)
    unknown = one(index, Query.of(Row(4), words="portal zeppelin"))
    assert unknown.texts[-1].unknown == {"zeppelin": ()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"among": "centroids"}, "sought among photos"),
        ({"rerank": "aqe"}, "--rerank means nothing"),
        ({"min_precision": 0.5}, "--min-precision means nothing"),
        ({"identities": 3}, "--identities.*or the words"),
        ({"symmetric": True}, "not by codes alone"),
        ({"shortlist": 0}, "not by codes alone"),
        ({"by": "vectors"}, "leave the words out"),
    ],
)
def test_what_means_nothing_for_both(index, options, message):
    with pytest.raises(UsageError, match=message):
        search(index, [Query.of(Row(1), words="portal", **options)])


shares = st.floats(0, 1)
points = st.dictionaries(st.integers(1, 9), st.floats(-1, 1), max_size=9)


@given(points, st.dictionaries(st.integers(1, 9), shares), shares)
def test_the_joint_score_lies_between_its_parts(near, words, weight):
    found = joined(near, words, weight)
    assert set(found) == set(near)
    assert all(-1e-9 <= score <= 1 + 1e-9 for score in found.values())


@given(points, st.dictionaries(st.integers(1, 9), shares), st.floats(0.1, 10), st.floats(-5, 5), shares)
def test_the_scale_of_the_point_does_not_count(near, words, factor, shift, weight):
    assume(max(near.values(), default=0) - min(near.values(), default=0) > 1e-3)  # less is rounding
    scaled = {id_: factor * score + shift for id_, score in near.items()}
    assert joined(scaled, words, weight) == pytest.approx(joined(near, words, weight), abs=1e-9)
