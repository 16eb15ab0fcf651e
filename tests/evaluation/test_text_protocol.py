import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from perisphere.errors import PerisphereError
from perisphere.evaluation import Points, Report
from perisphere.evaluation.bm25 import PLAIN, BM25Scores
from perisphere.evaluation.text import judge_text
from perisphere.evaluation.text_queries import TextQuery, of_concepts, read_queries, right_answers
from perisphere.tags import Tags

CONCEPTS = ("beach", "dome", "night", "tower")


def tags_of(dim=8, seed=0):
    """Tags called like the concepts, with a synonym each, at random directions."""
    vectors = np.random.default_rng(seed).standard_normal((len(CONCEPTS), dim)).astype(np.float32)
    merges = {name: name for name in CONCEPTS} | {"strand": "beach", "cupola": "dome", "noise": None}
    return Tags(CONCEPTS, vectors, np.ones(len(CONCEPTS), np.int64), merges)


def album(tags, typed, n=120, noise=0.3, seed=0):
    """Photos of one or two concepts near the mean of their tags; ``typed`` gives a photo's own words."""
    rng = np.random.default_rng(seed)
    of = [sorted(rng.choice(len(CONCEPTS), rng.integers(1, 3), replace=False)) for _ in range(n)]
    vectors = np.array([tags.unit[some].mean(0) for some in of])
    vectors += rng.standard_normal(vectors.shape) * noise / tags.dim**0.5
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = pl.DataFrame(
        {
            "id": range(n),
            "split": ["gallery"] * n,
            "label": [None] * n,
            "tags": [typed([CONCEPTS[each] for each in some], row) for row, some in enumerate(of)],
            "concepts": [[CONCEPTS[each] for each in some] for some in of],
        },
        schema_overrides={"label": pl.String, "tags": pl.List(pl.String)},
    )
    return Points(vectors.astype(np.float32), rows, "somewhere", {"name": "e"})


def test_with_perfect_tags_bm25_is_perfect_and_the_vectors_are_good():
    tags = tags_of()
    values = judge_text(album(tags, lambda concepts, row: concepts), tags).values
    assert values["BM25 precision@10"] == values["BM25 MAP"] == values["BM25 merged MAP"] == 1
    assert values["vectors precision@10"] > 0.9
    assert values["vectors recall"] == 1


def test_photos_that_nobody_has_tagged_are_found_by_vectors_alone():
    tags = tags_of()
    points = album(tags, lambda concepts, row: concepts if row % 4 == 0 else [])
    values = judge_text(points, tags).values
    assert 0.15 < values["BM25 recall"] < 0.35
    assert values["vectors MAP"] > 0.8 > values["BM25 MAP"]


def test_synonyms_are_found_by_bm25_over_merged_tags():
    tags = tags_of()
    other = {"beach": "strand", "dome": "Cupola"}
    points = album(tags, lambda concepts, row: [other.get(each, each) for each in concepts])
    report = judge_text(points, tags)
    assert report.values["BM25 merged recall"] == 1
    assert report.classes["beach"]["BM25 precision@10"] == 0
    assert report.classes["beach"]["BM25 merged precision@10"] == 1


def test_a_text_of_two_concepts_wants_photos_of_both():
    tags = tags_of()
    points = album(tags, lambda concepts, row: concepts)
    both = sum({"dome", "night"} <= set(held) for held in points.rows["concepts"].to_list())
    report = judge_text(points, tags, queries=[TextQuery("dome by night", ("dome", "night"))])
    assert report.counts["right_pairs"] == both > 10
    assert report.values["BM25 MAP"] == 1  # two words of the text weigh more than one
    assert report.values["vectors precision@10"] > 0.8


def test_unknown_words_find_nothing_and_are_counted():
    tags = tags_of()
    points = album(tags, lambda concepts, row: concepts)
    asked = [TextQuery("plage", ("beach",)), TextQuery("beach", ("beach",))]
    report = judge_text(points, tags, queries=asked)
    assert report.counts["texts_without_known_tag"] == 1
    for kind in ("vectors", "BM25", "BM25 merged"):
        assert report.classes["plage"][f"{kind} precision@10"] == 0
        assert report.values[f"{kind} precision@10"] <= 0.5


def test_figures_do_not_depend_on_the_order_of_the_photos():
    """Everybody types the same word: any order of the photos is as good as any other."""
    tags = tags_of()
    points = album(tags, lambda concepts, row: ["beach"])
    order = np.argsort([held[0] for held in points.rows["concepts"].to_list()], kind="stable")
    one, two = (judge_text(each, tags).values for each in (points, points.take(order)))
    for name in one:
        assert one[name] == pytest.approx(two[name], abs=1e-6), name
    concepts = points.rows["concepts"].to_list()
    share = np.mean([["beach" in held for held in concepts]])
    asked = [TextQuery("beach", ("beach",))]
    values = judge_text(points, tags, queries=asked).values
    assert values["BM25 precision@10"] == pytest.approx(share)


def test_what_cannot_be_judged_is_named(tmp_path):
    tags = tags_of()
    points = album(tags, lambda concepts, row: concepts)
    with pytest.raises(PerisphereError, match=r"vectors of 8 numbers, but tags of 5.*--tags ENCODER"):
        judge_text(points, tags_of(dim=5))
    with pytest.raises(PerisphereError, match="no photo has tags for BM25"):
        judge_text(album(tags, lambda concepts, row: []), tags)
    with pytest.raises(PerisphereError, match="no row of split 'test'"):
        judge_text(points, tags, gallery=["test"])
    with pytest.raises(PerisphereError, match="no photo is right for any text"):
        judge_text(points, tags, queries=[TextQuery("all", CONCEPTS)])


def test_the_report_is_json(tmp_path):
    tags = tags_of()
    report = judge_text(album(tags, lambda concepts, row: concepts), tags)
    assert Report.load(report.save(tmp_path / "r.json")) == report
    assert set(report.classes) == set(CONCEPTS)


def test_queries_are_read_by_name_by_words_and_by_told_concepts(tmp_path):
    names = ["beach", "night time", "dome"]
    file = tmp_path / "queries.txt"
    file.write_text(
        "# texts\nNight_Time\n\nbeach dome\nsunset at sea\tbeach, NightTime!,dome\n".replace(
            "NightTime!", "night-time"
        )
    )
    assert read_queries(file, names) == [
        TextQuery("Night_Time", ("night time",)),
        TextQuery("beach dome", ("beach", "dome")),
        TextQuery("sunset at sea", ("beach", "night time", "dome")),
    ]
    for text, message in (
        ("beech\n", "line 1: no photo of the gallery has the concept 'beech'. Did you mean 'beach'"),
        ("\tbeach\n", "line 1: has no text"),
        ("# none\n", "holds no query"),
        ("...\n", "line 1: no photo of the gallery has the concept"),
    ):
        file.write_text(text)
        with pytest.raises(PerisphereError, match=message):
            read_queries(file, names)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(PerisphereError, match="is not UTF-8"):
        read_queries(file, names)
    with pytest.raises(PerisphereError, match="cannot be read"):
        read_queries(tmp_path / "none.txt", names)


def test_right_answers_show_every_concept():
    queries = [TextQuery("x", ("a", "b")), *of_concepts(["b"])]
    found = right_answers(queries, [["a"], ["b", "a"], ["c", "b"], []])
    assert_array_equal(found, [[False, False], [True, True], [False, True], [False, False]])


def test_bm25_prefers_rare_words_and_short_texts():
    documents = ["dome night", "dome night sea sand wind rain", "night", "night sea", "", "night night"]
    row = BM25Scores(documents, [["dome", "night"], ["absent"], []], PLAIN).block(slice(0, 3))
    scores = row(0)
    assert scores[0] > scores[1] > scores[2]
    assert scores[2] > scores[3]
    assert scores[4] == -np.inf
    assert np.isneginf(row(1)).all()
    assert np.isneginf(row(2)).all()


def test_bm25_stems_and_folds():
    row = BM25Scores(["Beaches", "plâge"], [["beach"], ["plage"]]).block(slice(0, 2))
    assert_array_equal(np.isfinite(row(0)), [True, False])
    assert_array_equal(np.isfinite(row(1)), [False, True])


@given(st.lists(st.text(st.characters(codec=None), max_size=6), min_size=1, max_size=4))
def test_bm25_takes_any_text_for_words(words):
    """Nothing of a text is read as SQLite's query language."""
    scores = BM25Scores(["beach", " ".join(words)], [["beach", *words]]).block(slice(0, 1))(0)
    assert scores[0] > -np.inf
    assert len(scores) == 2
