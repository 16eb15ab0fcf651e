"""Words: what is written about photos and what their regions show, together."""

import shutil
from pathlib import Path

import numpy as np
import painted
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perisphere.errors import UsageError
from perisphere.index import Index
from perisphere.index.regions import Region
from perisphere.index.segmented import bring_regions
from perisphere.search import Query, Results, search
from perisphere.search.word_query import best_first, evidence_of, fused, known_words, seek, terms_of
from perisphere.tags.concepts.concept_words import ConceptWords

DATA = Path(__file__).parents[1] / "data"
WORDS = ConceptWords.built_in()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with words and regions; no test changes it."""
    root = tmp_path_factory.mktemp("words")
    photos = painted.photos_at(root / "photos")
    with Index.create(root / "index", 3) as index:
        index.add(np.eye(6, 3) + 0.1, painted.table(), root=photos)
        bring_regions(index, painted.segmented(photos, root / "masks"))
    return root / "index"


@pytest.fixture
def index(folder: Path):
    with Index.open(folder) as opened:
        yield opened


def ask(index: Index, text: str, k: int = 10, **options) -> Results:
    return search(index, [Query(words=text, k=k, **options)])


def found(index: Index, text: str, **options) -> list[int]:
    return [result.id for result in ask(index, text, **options).answers[0].results]


def trusted(index: Index, text: str, words: float, regions: float) -> list[int]:
    (sought,) = seek(index, [text], known_words(index), trust=(words, regions))
    return list(best_first(sought.scores, 10))


def test_a_text_is_taken_apart_into_concepts_and_words():
    portal, statue, old = terms_of("The old portal with statues", WORDS)
    assert (portal.concept, portal.text) == ("portal", "portal")
    assert (statue.concept, statue.text) == ("statue", "statues")
    assert (old.concept, old.words) == (None, ("old",))
    assert {"portal", "porte", "puerta"} <= set(portal.words)
    assert "statues" in statue.words


@pytest.mark.parametrize("text", ["Kirchenfenster", "vitraux et fenêtres", "WINDOWS", "le finestre"])
def test_concepts_are_known_in_other_languages(text):
    assert "window" in [term.concept for term in terms_of(text, WORDS)]


def test_one_concept_named_twice_is_one_term():
    (term,) = terms_of("statue statues, Skulptur: estatua", WORDS)
    assert term.concept == "statue"
    assert {"statue", "statues", "estatua"} <= set(term.words)


@pytest.mark.parametrize("text", ["", "the with of", "?!", '"'])
def test_a_text_without_words_is_refused(text, index):
    with pytest.raises(UsageError, match="no word that can be searched for"):
        ask(index, text)


def test_photos_with_all_that_is_asked_for_come_first_with_their_regions(index):
    results = ask(index, "portal with statues", 10)
    (answer,) = results.answers
    assert (results.metric, results.road) == ("words", "captions and categories and regions")
    assert answer.note == "concepts: portal, statue"
    assert set(found(index, "portal with statues")) == {1, 2, 3, 6}
    best = answer.results[0]
    assert best.id == 1
    assert [(region.concept, region.box) for region in best.regions] == [
        ("portal", (8, 16, 40, 64)),
        ("statue", (56, 8, 80, 60)),
    ]
    assert best.regions[0].outline
    assert best.score > 0.9
    told = results.to_dict()["queries"][0]
    assert told["concepts"] == ["portal", "statue"]
    assert told["results"][0]["regions"][0]["concept"] == "portal"


def test_words_and_regions_find_what_the_other_does_not(index):
    assert trusted(index, "statue", 1, 0) == [1]
    assert trusted(index, "statue", 0, 0.9) == found(index, "statue", by="regions") == [1, 3]
    assert found(index, "statue") == [1, 3]
    assert trusted(index, "portal", 0, 0.9) == [1, 2, 6]  # by score
    assert 6 not in trusted(index, "portal", 1, 0)


def test_other_words_are_sought_in_labels_captions_and_categories(index):
    assert found(index, "fog") == [5]
    assert found(index, "kirche") == [4, 5]
    assert found(index, "fenetre nef")[0] == 4


def test_a_word_that_no_photo_has_is_named_and_left_out(index):
    (answer,) = ask(index, "portal zeppelin").answers
    assert answer.image.unknown == {"zeppelin": ()}
    alone = ask(index, "portal").answers[0]
    assert [r.score for r in answer.results] == [r.score for r in alone.results]
    assert not ask(index, "zeppelin").answers[0].results


def test_filters_cut_offs_and_k(index):
    assert found(index, "portal", where="label == 'Dom' and caption is not null") == [1, 2]
    assert found(index, "portal", where="regions has 'statue'") == [1]
    assert len(ask(index, "portal", 2).answers[0].results) == 2
    scores = [result.score for result in ask(index, "portal", 9).answers[0].results]
    assert len(found(index, "portal", min_score=scores[1])) == 2
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    "text", ['portal" OR "x', "portal*", "NEAR(portal statue)", "caption : portal", "a\0portal"]
)
def test_nothing_of_the_query_language_gets_through(index, text):
    assert found(index, text)[:1] == [1]


@pytest.mark.parametrize("trust", [(-0.1, 1), (1, 1.5), (0, 0), (float("nan"), 1)])
def test_a_trust_out_of_range_is_refused(index, trust):
    with pytest.raises(UsageError, match="give 0 to 1"):
        seek(index, ["portal"], WORDS, trust=trust)


def test_own_concepts_of_an_index_are_words(tmp_path):
    with Index.create(tmp_path / "index", 2) as index:
        index.add(np.eye(2), pl.DataFrame({"caption": ["a horse", "two pigs"]}))
        about = dict.fromkeys(("encoder", "layer", "dim"))
        index.regions.put(
            [(2, [Region("race_horse", 0.5, 0.1, (0, 0, 1, 1))], None)], ["race_horse"], about, 1
        )
        assert "race_horse" in known_words(index).concepts
        assert found(index, "race horses") == [2]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_index_of_an_older_format_is_searched_by_words(tmp_path, version):
    shutil.copytree(DATA / f"index-v{version}", tmp_path / "index")
    before = (tmp_path / "index" / "index.sqlite").read_bytes()
    with Index.open(tmp_path / "index") as index:
        assert set(found(index, "old dome")) == {1, 5, 9, 7, 11}
        assert ask(index, "dome").answers[0].results[0].label == "dome"
        assert index.info()["format"] == version
    assert (tmp_path / "index" / "index.sqlite").read_bytes() == before


def test_words_come_and_go_with_their_photos(tmp_path):
    with Index.create(tmp_path / "index", 2) as index:
        index.add(
            np.eye(2), pl.DataFrame({"caption": ["an old mill", None], "tags": [["mill\n2"], ['say "mill"']]})
        )
        assert found(index, "mill") == [1, 2]
        index.remove([1])
        assert found(index, "mill") == [2]
        index.add(np.eye(2), pl.DataFrame({"concepts": [["mill"], None]}))
        assert found(index, "mills") == [3, 2]
        assert index.verify() == []
        index._store._writer.execute("DELETE FROM words WHERE rowid = 3")
        assert index.verify() == ["1 photos have words that are not kept, the first with id 3"]


shares = st.floats(0, 1)
regions = st.dictionaries(st.integers(1, 6), shares.map(lambda s: Region("x", s, 0.5, (0, 0, 1, 1))))


@given(st.dictionaries(st.integers(1, 6), st.floats(1e-6, 30)), regions, shares, shares)
def test_evidence_grows_with_either_sign(found, shown, words, trust):
    both = evidence_of(found, shown, words, trust)
    assert all(0 < sure <= 1 for sure in both.values())
    for alone in (evidence_of(found, {}, words, trust), evidence_of({}, shown, words, trust)):
        assert all(both[id_] >= sure - 1e-9 for id_, sure in alone.items())


def test_a_word_that_stands_once_outweighs_a_doubtful_region():
    sure = evidence_of({1: 30.0, 2: 0.3}, {3: Region("x", 0.5, 0.5, (0, 0, 1, 1))}, 1, 0.9)
    assert sure == pytest.approx({1: 1, 2: 0.505, 3: 0.45})


@given(st.lists(st.dictionaries(st.integers(1, 9), st.floats(0.01, 1)), max_size=4))
def test_a_score_lies_between_its_evidence(terms):
    scores = fused(terms, 9)
    assert set(scores) == set().union(*terms)
    for id_, score in scores.items():
        own = [term.get(id_, 0.0) for term in terms if term]
        assert min(own) - 1e-9 <= score <= max(own) + 1e-9


def test_rare_words_count_more():
    common, rare = dict.fromkeys(range(1, 9), 1.0), {9: 1.0}
    scores = fused([common, rare], 9)
    assert scores[9] > scores[1] > 0
