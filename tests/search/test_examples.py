"""Examples and counter-examples: their common point, what is left out of results, and what is one search."""

from collections import Counter

import numpy as np
import pytest
from asking import ask
from coloured import COLOURS, EACH, pixels, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index
from perisphere.search import (
    Answer,
    Centroid,
    ClassQuery,
    Example,
    Part,
    Photos,
    Point,
    Query,
    Row,
    TextQuery,
    search,
    write_sheet,
)
from perisphere.search.matches import write_matches
from perisphere.search.points import rocchio
from perisphere.search.rerank import GeometricVerification
from perisphere.tags import Tags
from perisphere.taxonomy import ClassPoints

SKY = 2 * EACH + 1
"""The id of the first photo of the sky; brick is 1 and grass 1 + EACH."""


def ids(answer: Answer) -> list[int]:
    return [result.id for result in answer.results]


def labels(answer: Answer) -> list[str | None]:
    return [result.label for result in answer.results]


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def one(index: Index, query: Query, **spaces) -> Answer:
    (answer,) = search(index, [query], **spaces).answers
    return answer


def test_more_like_a_photo_of_the_index_and_not_that_photo(index, photos):
    answer = one(index, Query.of(Row(SKY), k=100))
    assert labels(answer)[: EACH - 1] == ["sky"] * (EACH - 1)
    assert SKY not in ids(answer)
    assert len(answer.results) == 3 * EACH - 1
    assert (answer.name, answer.label) == ("sky/0.png", "sky")
    assert answer.image == Row(SKY, "sky/0.png", photos / "sky" / "0.png")
    file = one(index, Query.of(photos / "sky" / "0.png", k=100, exclude_self=True))
    assert [(r.id, pytest.approx(r.score, abs=1e-5)) for r in answer.results] == [
        (r.id, r.score) for r in file.results
    ]
    assert all(result.precision is not None for result in answer.results), "a photo and a photo are a pair"
    assert answer.results[0].row["camera"] in ("0", "1")
    with pytest.raises(PerisphereError, match="99"):
        search(index, [Query.of(Row(99))])


def test_rows_verify_and_are_drawn(index, tmp_path):
    chain = "geometric(n=2,features=200,min_inliers=4,ratio=0.95,side=64)"
    answer = one(index, Query.of(Row(SKY), k=2, rerank=chain))
    verification = GeometricVerification(features=200, min_inliers=4, ratio=0.95, side=64)
    assert write_matches(tmp_path / "lines.png", [answer], verification).is_file()
    both = one(index, Query((Example(Row(SKY)),), (Example(Row(1)),), k=2))
    assert write_sheet(tmp_path / "sheet.png", [answer, both]).is_file()


def test_the_point_is_the_weighted_direction_less_that_of_the_counter_examples(index):
    known, vectors = index.vectors()
    of = dict(zip(known.tolist(), vectors.astype(np.float64), strict=True))
    query = Query(
        (Example(Row(SKY), 3), Example(Row(1))), (Example(Row(6), 2), Example(Row(7))), gamma=0.5, k=100
    )
    point = unit((3 * of[SKY] + of[1]) / 4 - 0.5 * (2 * of[6] + of[7]) / 3)
    answer = one(index, query)
    assert set(ids(answer)) == set(of) - {SKY, 1, 6, 7}, "what is marked is left out"
    for result in answer.results:
        assert result.score == pytest.approx(float(of[result.id] @ point), abs=1e-5)
        assert result.precision is None
    assert answer.name == "sky/0.png + brick/0.png - grass/0.png - grass/1.png"
    assert answer.label is None
    told = answer.to_dict()
    assert told["like"] == [{"id": SKY, "weight": 3}, {"id": 1, "weight": 1.0}]
    assert told["unlike"] == [{"id": 6, "weight": 2}, {"id": 7, "weight": 1.0}]


def test_a_counter_example_turns_the_query_away(index, photos):
    mixed = [Example(photos / "new" / "sky.png"), Example(photos / "new" / "grass.png")]
    plain = one(index, Query(tuple(mixed), k=2 * EACH))
    assert set(labels(plain)) == {"sky", "grass"}
    away = one(index, Query(tuple(mixed), (Example(photos / "new" / "grass.png"),), k=EACH))
    assert labels(away) == ["sky"] * EACH
    ignored = one(index, Query(tuple(mixed), (Example(photos / "new" / "grass.png"),), gamma=0, k=2 * EACH))
    assert [(r.id, r.score) for r in ignored.results] == [(r.id, r.score) for r in plain.results]


def test_all_kinds_of_examples_in_one_query(index, photos, made, tmp_path):
    vectors = pixels().encode([photos / "new" / f"{label}.png" for label in COLOURS])
    tags = Tags(tuple(COLOURS), vectors, np.ones(3, np.int64), {})
    classes = ClassPoints(vectors, tuple(COLOURS), None, "test")
    kinds = [
        photos / "new" / "sky.png",
        Photos((photos / "new" / "sky.png",)),
        Part(photos / "new" / "sky.png", (0, 0, 1, 1)),
        Point(vectors[2]),
        ClassQuery("sky"),
        TextQuery("sky"),
    ]
    every = one(index, Query.of(*kinds, k=100), tags=tags, classes=classes)
    alone = one(index, Query.of(kinds[0], k=100))
    assert ids(every) == ids(alone)
    for result, other in zip(every.results, alone.results, strict=True):
        assert result.score == pytest.approx(other.score, abs=1e-5)
    told = every.to_dict()
    assert (told["text"], told["tags"], told["class"]) == ("sky", ["sky"], None)
    assert [set(thing) - {"weight"} for thing in told["like"]] == [
        {"photo"}, {"photos"}, {"photo", "region"}, {"vector"}, {"class"}, {"text"}
    ]  # fmt: skip
    unknown = one(index, Query.of(TextQuery("sky gras"), Row(SKY)), tags=tags)
    assert unknown.texts[0].unknown["gras"][0] == "grass"
    assert write_sheet(tmp_path / "sheet.png", [every, unknown]).is_file()


def test_a_centroid_is_an_example(photos, tmp_path):
    table = rows(photos)
    vectors = pixels().encode([photos / path for path in table["path"]])
    with Index.create(tmp_path / "index", pixels().dim, centroids="beside") as made:
        made.add(vectors, table, root=photos)
        answer = one(made, Query.of(Centroid("sky"), k=EACH))
        centroids = made.centroids()
        point = centroids.points[centroids.places["sky"]]
        assert (labels(answer), answer.label) == (["sky"] * EACH, "sky")
        assert answer.results[0].score == pytest.approx(float((unit(vectors) @ point).max()), abs=1e-5)
        with pytest.raises(PerisphereError, match="no centroid of the label 'sea'"):
            search(made, [Query.of(Centroid("sea"))])
        (row,) = ask(made, [Row(SKY)], among="centroids").answers
        assert (row.results[0].label, row.results[0].count) == ("sky", EACH), "its photos stay in a centroid"
        (left,) = ask(made, [Row(SKY)], among="centroids", exclude_self=True).answers
        assert left.results[0].count == EACH - 1
        (then,) = ask(made, [Row(SKY)], 100, among="centroids-then-photos", identities=1).answers
        assert (len(then.results), SKY in ids(then)) == (EACH - 1, False)


class Reader:
    """A text tower that knows where the sky is."""

    def __init__(self, vector: np.ndarray) -> None:
        self.vector = vector

    def __call__(self, texts: list[str]) -> np.ndarray:
        assert texts == ["the sky"], "all texts at once"
        return self.vector[None]


def test_a_text_is_its_point_by_a_joint_encoder(index, photos):
    encoder = pixels()
    vector = encoder.encode([photos / "new" / "sky.png"])[0]
    encoder.text = Reader(unit(vector))  # type: ignore[assignment]
    answer = one(index, Query.of(TextQuery("the sky"), k=EACH), encoder=encoder)
    photo = one(index, Query.of(photos / "new" / "sky.png", k=EACH))
    assert ids(answer) == ids(photo)
    assert [r.score for r in answer.results] == pytest.approx([r.score for r in photo.results], abs=1e-5)
    assert answer.texts[0] == TextQuery("the sky"), "nothing of it is unknown"


def test_queries_of_equal_options_are_one_search(index, photos, monkeypatch):
    counts: Counter[str] = Counter()

    def counted(thing: object, name: str) -> None:
        method = getattr(thing, name)

        def called(*words, **options):
            counts[name] += 1
            return method(*words, **options)

        monkeypatch.setattr(thing, name, called)

    pictures = [np.full((8, 8, 3), shade, np.uint8) for shade in (10, 100, 200)]
    queries = [Query.of(picture, Row(number), k=4) for number, picture in enumerate(pictures, start=1)]
    queries += [Query.of(picture, k=4, min_score=0.5, label="sky") for picture in pictures]
    queries += [Query((Example(Row(8)),), (Example(Row(2)),), k=4)]
    alone = [one(index, query) for query in queries]
    encoder = index.encoder()
    assert encoder is not None
    for thing, name in ((index, "search"), (index, "vectors"), (index, "rows"), (encoder, "encode")):
        counted(thing, name)
    together = search(index, queries).answers
    assert counts == {"search": 1, "vectors": 1, "rows": 2, "encode": 1}  # rows asked for, and rows found
    for answer, other in zip(together, alone, strict=True):
        assert ids(answer) == ids(other)
        assert [r.score for r in answer.results] == pytest.approx([r.score for r in other.results], abs=1e-6)


def test_each_query_has_its_own_options(index, photos):
    file = photos / "sky" / "0.png"
    queries = [
        Query.of(file, k=2),
        Query.of(file, k=3, metric="l2", where="label == 'brick'"),
        Query.of(Row(SKY), k=100, min_score=0.9),
        Query.of(file, k=100, exclude_self=True, rerank="aqe(n=2)"),
        Query(words="grass", k=4),
    ]
    results = search(index, queries)
    alone = [one(index, query) for query in queries]
    assert [[r.id for r in answer.results] for answer in results.answers] == [ids(answer) for answer in alone]
    assert [answer.metric for answer in results.answers] == ["cosine", "l2", "cosine", "cosine", "words"]
    assert results.metric == "cosine; l2; words"
    assert labels(results.answers[1]) == ["brick"] * 3
    assert labels(results.answers[4]) == ["grass"] * 4
    assert results.answers[3].rerank is not None
    assert results.min_score is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"like": ()}, "there is no query"),
        ({"like": (), "unlike": (Example(Row(1)),)}, "Counter-examples need an example or words"),
        ({"k": 0}, "k is 0"),
        ({"gamma": -1}, "gamma is -1"),
        ({"gamma": float("nan")}, "gamma is nan"),
        ({"gamma": float("inf")}, "gamma is inf"),
        ({"words_weight": 1.1}, "weight of the words is 1.1"),
        ({"words_weight": float("nan")}, "weight of the words is nan"),
        ({"min_score": float("nan")}, "least score is nan"),
        ({"min_precision": 2}, "least precision is 2"),
        ({"metric": "cosin"}, "cosine"),
        ({"where": "lable == 'x'"}, r"Did you mean 'label'\?"),
        ({"rerank": "aqee"}, r"Did you mean"),
    ],
)
def test_what_makes_no_query(options, message):
    with pytest.raises(UsageError, match=message) as caught:
        Query(**{"like": (Example(Row(1)),), **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf")])
def test_weights_are_finite_and_above_zero(weight):
    with pytest.raises(UsageError, match="is not a finite number above 0"):
        Example(Row(1), weight)


@pytest.mark.parametrize(
    ("query", "kind", "message"),
    [
        (Query((Example(Row(1)),), (Example(Row(1)),), gamma=1), PerisphereError, "Lower --gamma"),
        (Query((Example(Row(1)),), (Example(Row(2)),), metric="l2"), UsageError, "--metric cosine"),
        (Query.of(Row(1), Row(2), min_precision=0.5), UsageError, "not of several photos together"),
        (Query.of(Row(1), Point(np.ones(192, np.float32)), min_precision=0.5), UsageError, "not of a point"),
        (Query.of(Row(1), Row(2), rerank="geometric"), UsageError, "not several photos together"),
        (Query.of(Point(np.ones(192, np.float32)), label="sky"), UsageError, "Give labels to photos only"),
        (Query.of(Point(np.ones(3, np.float32))), PerisphereError, "dimension 192"),
        (Query.of(Point(np.full(192, np.nan, np.float32))), PerisphereError, "NaN"),
        (Query.of(Point(np.zeros(192, np.float32)), Row(1)), PerisphereError, "zero and has no direction"),
        (Query.of(Point(np.ones(192, np.int64))), PerisphereError, "type int64"),
        (Query.of(Centroid("sky")), PerisphereError, "keeps no centroids"),
        (Query.of(TextQuery("sky")), PerisphereError, "knows no tags"),
        (Query.of(Row(1), by="words"), UsageError, "texts alone"),
        (Query.of(Row(1), by="regions"), UsageError, "texts or parts of photos"),
        (Query.of(Row(1), words="sky", by="vectors"), UsageError, "leave the words out"),
        (Query(words="sky", by="regions"), PerisphereError, "`perisphere index regions INDEX"),
        (Query.of(Row(1), by="way"), UsageError, "--by 'way' is unknown"),
    ],
)
def test_what_cannot_be_searched_for(index, query, kind, message):
    with pytest.raises(kind, match=message) as caught:
        search(index, [query])
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


def test_weights_of_any_size(index):
    plain, huge, tiny = search(
        index,
        [Query(tuple(Example(Row(id_), weight) for id_ in (1, SKY))) for weight in (1, 1.7e308, 5e-324)],
    ).answers
    assert plain.results == huge.results == tiny.results


def test_under_l2_examples_have_a_weighted_mean(index):
    known, vectors = index.vectors()
    answer = one(index, Query((Example(Row(1), 3), Example(Row(SKY))), metric="l2", k=100))
    point = (3 * vectors[known == 1][0] + vectors[known == SKY][0]) / 4
    for result in answer.results:
        expected = -float(np.linalg.norm(point - vectors[known == result.id][0]))
        assert result.score == pytest.approx(expected, abs=1e-4)


seeds = st.integers(0, 2**32 - 1)
weights = st.lists(st.floats(0.01, 100), min_size=1, max_size=4)


def drawn(seed: int, liked: list[float], disliked: list[float], gamma: float) -> tuple[Query, np.ndarray]:
    """A query by random points, and their vectors."""
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((len(liked) + len(disliked), 6))
    examples = [Example(Point(v), w) for v, w in zip(vectors, [*liked, *disliked], strict=True)]
    return Query(tuple(examples[: len(liked)]), tuple(examples[len(liked) :]), gamma=gamma), vectors


def point_of(query: Query, vectors: np.ndarray) -> np.ndarray:
    return rocchio(query, list(vectors[: len(query.like)]), list(vectors[len(query.like) :]), "cosine")


@settings(max_examples=50, deadline=None)
@given(seeds, weights, weights, st.floats(0, 0.9))
def test_a_rotation_of_the_sphere_turns_the_point_with_it(seed, liked, disliked, gamma):
    query, vectors = drawn(seed, liked, disliked, gamma)
    gallery = np.random.default_rng(seed + 1).standard_normal((20, 6))
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((6, 6)))[0]
    plain, turned = point_of(query, vectors), point_of(query, vectors @ turn)
    np.testing.assert_allclose(gallery @ plain, gallery @ turn @ turned, atol=2e-3)


@settings(max_examples=50, deadline=None)
@given(seeds, weights, weights, st.floats(0, 0.9), st.floats(0.01, 100))
def test_weights_count_by_their_ratios_alone(seed, liked, disliked, gamma, factor):
    query, vectors = drawn(seed, liked, disliked, gamma)
    more, _ = drawn(seed, [factor * weight for weight in liked], disliked, gamma)
    less, _ = drawn(seed, liked, [factor * weight for weight in disliked], gamma)
    for other in (more, less):
        np.testing.assert_allclose(unit(point_of(query, vectors)), unit(point_of(other, vectors)), atol=2e-3)


@settings(max_examples=25, deadline=None)
@given(weight=st.floats(1e-3, 1e3))
def test_one_example_is_the_same_for_every_weight(weight, made):
    with Index.open(made) as index:
        plain, weighted = search(index, [Query.of(Row(1)), Query((Example(Row(1), weight),))]).answers
    assert [(r.id, r.score) for r in plain.results] == [(r.id, r.score) for r in weighted.results]


@settings(max_examples=50, deadline=None)
@given(seeds, weights, weights, st.floats(0, 0.9))
def test_the_length_of_an_example_does_not_count(seed, liked, disliked, gamma):
    query, vectors = drawn(seed, liked, disliked, gamma)
    lengths = np.random.default_rng(seed).uniform(0.1, 10, (len(vectors), 1))
    plain, stretched = (unit(point_of(query, some)) for some in (vectors, vectors * lengths))
    np.testing.assert_allclose(plain, stretched, atol=2e-3)
