import json
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from perisphere.errors import PerisphereError, UsageError
from perisphere.metrics.concepts import as_bits, matrix_bits, shares, sharing_counts, vocabulary
from perisphere.metrics.hashing import leading, places
from perisphere.metrics.hashing_figures import hashing_figures, queries_per_second
from perisphere.metrics.retrieval import average_precision, precision_at
from perisphere.metrics.scoring import CodeScores, FloatScores


@pytest.fixture(scope="module", params=["a", "b"])
def golden(request, shared):
    return json.loads((shared / "golden" / "quantization.json").read_text())["cases"][request.param]


def words_of(case):
    return np.array(case["codebooks"], np.float32).reshape(case["books"], case["words"], -1)


def tables_of(words):
    return lambda queries: np.einsum("qd,mkd->qmk", queries, words, dtype=np.float32)


def published_codes(vectors, words, tags, orders):
    """Sweep the books in the given orders, from no word in any book, in the metric of the tags."""
    books = range(len(words))
    chosen = np.zeros((len(words), *vectors.shape))
    codes = np.zeros((len(vectors), len(words)), np.uint8)
    for book in (book for order in orders for book in order):
        rest = vectors - sum(chosen[other] for other in books if other != book)
        errors = (((rest[:, None] - words[book]) @ tags.T) ** 2).sum(-1)
        codes[:, book] = errors.argmin(1)
        chosen[book] = words[book][codes[:, book]]
    return codes


def figures(case, kind, depth, **options):
    found, words = case["retrieval"], words_of(case)
    queries, database = (np.array(found[side], np.float32) for side in ("query", "database"))
    codes = np.array(found["database_codes"], np.uint8)
    if kind == "SQD":
        tags = np.array(case["tag_vectors"])
        asked = published_codes(queries.astype(float), words.astype(float), tags, case["orders"])
        queries = sum(words[book][asked[:, book]] for book in range(len(words)))
    scores = FloatScores(queries, database)
    if kind != "feats":
        scores = CodeScores(queries, tables_of(words), codes)
    asked, shown = (matrix_bits(np.array(found[f"{side}_labels"])) for side in ("query", "database"))
    return hashing_figures(scores, asked, shown, depths=(depth,), **options)


@pytest.mark.parametrize("kind", ["feats", "AQD", "SQD"])
def test_the_published_map(golden, kind):
    wanted = {name: value for name, value in golden["retrieval"]["map"].items() if name.startswith(kind)}
    assert len(wanted) == 3
    for name, value in wanted.items():
        depth = int(name.partition("@")[2])
        assert figures(golden, kind, depth).mean_average_precision(depth) == pytest.approx(value, abs=1e-6)


def test_queries_with_nothing_relevant_within_r_are_left_out_as_published(golden):
    assert figures(golden, "feats", 5).counted(5) == golden["retrieval"]["queries_counted_at_5"]


def test_published_codes_of_the_database(golden):
    found, words = golden["retrieval"], words_of(golden).astype(float)
    database, tags = np.array(found["database"]), np.array(golden["tag_vectors"])
    codes = published_codes(database, words, tags, golden["orders"])
    assert_array_equal(codes, found["database_codes"])


# A list of photos: (score, relevant), short enough to try every order of photos of equal score.
LISTS = st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=7)


def one_query(photos, depth, ties):
    """Figures of one query; photo i has score and relevance of pair i."""
    vectors = np.array([[score] for score, _ in photos], np.float32)
    shown = as_bits([["sky"] if right else ["sea"] for _, right in photos], ["sea", "sky"])
    asked = as_bits([["sky"]], ["sea", "sky"])
    return hashing_figures(FloatScores(np.ones((1, 1)), vectors), asked, shown, depths=(depth,), ties=ties)


def by_hand(photos, depth):
    """Average precision as published and strict, and precision, by the definition."""
    order = sorted(range(len(photos)), key=lambda photo: -photos[photo][0])[:depth]
    hits = [photos[photo][1] for photo in order]
    sums = sum(sum(hits[: place + 1]) / (place + 1) for place in range(len(hits)) if hits[place])
    every = min(depth, sum(right for _, right in photos))
    return (sums / sum(hits) if any(hits) else np.nan), sums / every, sum(hits) / depth


@given(LISTS, st.integers(1, 9))
def test_figures_are_those_of_the_definition_in_the_order_of_the_database(photos, depth):
    if not any(right for _, right in photos):
        with pytest.raises(PerisphereError, match="no query shares a concept"):
            one_query(photos, depth, "database")
        return
    found = one_query(photos, depth, "database")
    published, strict, precision = by_hand(photos, depth)
    assert_allclose(found.mean_average_precision(depth), published)
    assert_allclose(found.strict_mean_average_precision(depth), strict)
    assert_allclose(found.precision_at(depth), precision)


@given(LISTS, st.integers(1, 9))
def test_expected_figures_are_the_mean_over_all_orders_of_the_database(photos, depth):
    if not any(right for _, right in photos):
        return
    found = one_query(photos, depth, "expected")
    table = np.array([by_hand(order, depth) for order in permutations(photos)])
    counted = ~np.isnan(table[:, 0])
    assert_allclose(found.weights[0, 0], counted.mean())
    if counted.any():
        assert_allclose(found.average_precision[0, 0], table[counted, 0].mean())
    assert_allclose(found.strict[0, 0], table[:, 1].mean())
    assert_allclose(found.precision_at(depth), table[:, 2].mean())


@given(LISTS, st.integers(1, 9), st.randoms())
def test_expected_figures_do_not_depend_on_the_order_of_the_database(photos, depth, random):
    if any(right for _, right in photos):
        other = random.sample(photos, len(photos))
        mine, theirs = (one_query(order, depth, "expected") for order in (photos, other))
        assert_allclose(mine.average_precision, theirs.average_precision)
        assert_allclose(mine.found, theirs.found)


@pytest.fixture(scope="module")
def crowd():
    """40 queries and 3,000 photos with several of 70 concepts, and codes of 3 books of 16 words."""
    rng = np.random.default_rng(0)
    names = [f"{number:02}" for number in range(70)]
    lists = [[names[c] for c in rng.choice(70, rng.integers(0, 4), replace=False)] for _ in range(3040)]
    vectors = rng.standard_normal((3040, 12)).astype(np.float32)
    words = rng.standard_normal((3, 16, 12)).astype(np.float32)
    codes = rng.integers(0, 16, (3000, 3)).astype(np.uint8)
    return lists, names, vectors, words, codes


def test_a_heap_of_thousands_gives_the_mean_of_draws(crowd):
    lists, names, vectors, _, _ = crowd
    rng = np.random.default_rng(1)
    bits = as_bits(lists, names)
    coarse = np.round(vectors[40:, :1] * 2)  # a few distinct scores
    scores = FloatScores(np.ones((40, 1)), coarse)
    expected = hashing_figures(scores, bits[:40], bits[40:], depths=(100,), ties="expected")
    drawn = []
    for _ in range(100):
        order = rng.permutation(3000)
        scores = FloatScores(np.ones((40, 1)), coarse[order])
        drawn.append(hashing_figures(scores, bits[:40], bits[40:][order], depths=(100,)))
    for figure in ("mean_average_precision", "strict_mean_average_precision", "precision_at", "recall_at"):
        values = [getattr(each, figure)(100) for each in drawn]
        error = np.std(values) / 10
        assert abs(getattr(expected, figure)(100) - np.mean(values)) < 5 * error, figure


def test_no_figure_depends_on_blocks_or_threads(crowd):
    lists, names, vectors, words, codes = crowd
    bits = as_bits(lists, names)
    scores = CodeScores(vectors[:40], tables_of(words), codes)
    found = [
        hashing_figures(scores, bits[:40], bits[40:], depths=(10, 50), block=block, threads=threads)
        for block, threads in ((None, 1), (1, 2), (7, 3))
    ]
    for other in found[1:]:
        assert_array_equal(other.average_precision, found[0].average_precision)
        assert_array_equal(other.found, found[0].found)


@pytest.mark.parametrize("books", [1, 2, 3])
def test_codes_score_as_their_decoded_vectors_and_equal_codes_alike(crowd, books):
    _, _, vectors, words, codes = crowd
    words, codes = words[:books], np.ascontiguousarray(codes[:, :books])
    decoded = sum(words[book][codes[:, book]] for book in range(books))
    row = CodeScores(vectors[:40], tables_of(words), codes).block(slice(5, 9))(2)
    assert_allclose(row, decoded @ vectors[7], rtol=1e-4, atol=1e-4)
    kinds, of = np.unique(codes, axis=0, return_inverse=True)
    assert len(np.unique(row)) <= len(kinds)
    for kind in range(0, len(kinds), 97):
        assert len(np.unique(row[of == kind])) == 1


def test_float_scores_are_read_in_parts_and_multiplied_by_their_lengths(monkeypatch):
    rng = np.random.default_rng(0)
    queries, gallery = rng.standard_normal((3, 5)), rng.standard_normal((20, 5)).astype(np.float16)
    lengths = rng.uniform(1, 2, 20).astype(np.float32)
    monkeypatch.setattr("perisphere.metrics.scoring.GALLERY_ROWS", 6)
    row = FloatScores(queries, gallery, lengths).block(slice(1, 3))(1)
    assert_allclose(row, gallery.astype(float) @ queries[2] * lengths, rtol=1e-3, atol=1e-3)


def test_with_one_concept_a_photo_the_figures_are_those_of_the_other_protocols():
    """The strict figure is mAP@k of `evaluate retrieval`; precision is the same."""
    from perisphere.metrics.matching import matching
    from perisphere.metrics.ranks import exact_ranks

    rng = np.random.default_rng(1)  # no two scores so near that rounding orders them
    labels = [str(label) for label in rng.integers(0, 5, 230)]
    vectors = rng.standard_normal((230, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ranks = exact_ranks(vectors[:30], vectors[30:], matching(labels[:30], labels[30:]))
    bits = as_bits([[label] for label in labels], vocabulary([labels]))
    found = hashing_figures(FloatScores(vectors[:30], vectors[30:]), bits[:30], bits[30:], depths=(25, 200))
    for depth in (25, 200):
        strict = average_precision(ranks, depth, denominator="min").mean()
        published = average_precision(ranks, depth, denominator="found").mean()
        assert found.strict_mean_average_precision(depth) == pytest.approx(strict)
        assert found.mean_average_precision(depth) == pytest.approx(published)
        assert found.precision_at(depth) == pytest.approx(precision_at(ranks, depth).mean())
    assert found.recall_at(200) == 1


def test_a_query_is_never_found_for_itself(crowd):
    lists, names, vectors, _, _ = crowd
    bits, rows = as_bits(lists[:50], names), vectors[:50]
    found = hashing_figures(FloatScores(rows, rows), bits, bits, depths=(49,), itself=np.arange(50))
    alone = hashing_figures(FloatScores(rows[:1], rows[1:]), bits[:1], bits[1:], depths=(49,))
    assert found.relevant[0] == alone.relevant[0]
    assert_allclose(found.average_precision[0], alone.average_precision[0])
    assert_allclose(found.found[0], alone.found[0])


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(1, 30))
def test_the_first_places_are_those_of_a_stable_sort(values, depth):
    scores, depth = np.array(values, np.float32), min(depth, len(values))
    order = leading(scores, depth)
    assert_array_equal(order[:depth], np.argsort(-scores, kind="stable")[:depth])
    assert len(order) == (scores >= np.sort(scores)[-depth]).sum()


@given(st.lists(st.sets(st.integers(0, 130)), min_size=1, max_size=12))
def test_bits_say_which_photos_share_a_concept(sets):
    names = [f"{number:03}" for number in range(131)]
    lists = [[names[c] for c in photo] for photo in sets]
    matrix = np.array([[c in photo for c in range(131)] for photo in sets])
    bits = as_bits(lists, names)
    assert_array_equal(bits, matrix_bits(matrix))
    sharing = matrix.astype(int) @ matrix.T > 0
    assert_array_equal(shares(bits, bits[0]), sharing[0])
    assert_array_equal(sharing_counts(bits, bits), sharing.sum(1))


def test_expected_places_of_a_heap_that_the_depth_cuts():
    """One relevant photo among two of equal score, one place: found or not by a coin."""
    seen = places(np.array([True, False]), np.zeros(2), 1)
    assert seen.average_precision(1) == (1.0, 0.5)
    assert seen.strict_average_precision(1, 1) == 0.5


def test_bad_input_is_named(crowd):
    lists, names, vectors, words, codes = crowd
    bits = as_bits(lists, names)
    scores = FloatScores(vectors[:40], vectors[40:])
    for options, message in (
        ({"ties": "pessimistic"}, "use 'database' or 'expected'"),
        ({"depths": ()}, "R is empty"),
        ({"depths": (0,)}, "R is 0"),
        ({"block": 0}, "block is 0"),
    ):
        with pytest.raises(UsageError, match=message):
            hashing_figures(scores, bits[:40], bits[40:], **options)
    with pytest.raises(PerisphereError, match="40 queries and 3000 photos"):
        hashing_figures(scores, bits[:39], bits[40:])
    with pytest.raises(PerisphereError, match="do not belong to 3 books"):
        CodeScores(vectors[:40], tables_of(words), codes[:, :2])
    with pytest.raises(PerisphereError, match="do not belong to 3 books of 16 words"):
        CodeScores(vectors[:40], tables_of(words), codes + 8)
    with pytest.raises(PerisphereError, match="row 0"):
        FloatScores(vectors[:2], np.full((2, 12), np.nan, np.float32))


def test_the_rate_is_that_of_whole_blocks(crowd, monkeypatch):
    _, _, vectors, _, _ = crowd
    monkeypatch.setattr("perisphere.metrics.hashing_figures.TIMED_SECONDS", 0.01)
    assert queries_per_second(FloatScores(vectors[:40], vectors[40:]), 10) > 0
