import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.tags.merging import LEXICON, compounds, confirmed, near_equals, numbers, slips
from perisphere.tags.vocabulary import Joining, Vocabulary, read_vocabulary


def vocabulary(**counts: int) -> Vocabulary:
    """Tags on as many photos each, no two on one; ``_`` stands for a blank."""
    return read_vocabulary([[name] for name, count in counts.items() for _ in range(count)])


def names(words: Vocabulary, joinings: object) -> dict[str, str]:
    pairs = joinings.items() if isinstance(joinings, dict) else joinings
    return {words.names[row]: words.names[joining.into] for row, joining in pairs}


def test_photos_and_words_are_counted_once_and_refused_words_keep_their_reason() -> None:
    words = read_vocabulary([["Sea", "sea", "SEA", "2008"], [], ["sea", "cat"], ["geo:lat=1"]])
    assert words.names == ["sea", "cat"]
    assert words.counts.tolist() == [2, 1]
    assert words.tagged == 2
    merges, reasons = words.merges()
    assert merges == {"2008": None, "geo:lat=1": None, "Sea": "sea", "sea": "sea", "SEA": "sea", "cat": "cat"}
    assert reasons["2008"] == "number"
    assert reasons["SEA"] == "case, accents, separators"
    assert "sea" not in reasons


def test_joined_tags_count_a_photo_once_and_chains_are_followed() -> None:
    words = read_vocabulary([["a1", "b1"], ["a1"], ["b1", "c1"], ["a1", "d1"]])
    row = {name: at for at, name in enumerate(words.names)}
    joined = words.join({row["c1"]: Joining(row["b1"], "x"), row["b1"]: Joining(row["a1"], "y")})
    assert joined.names == ["a1", "d1"]
    assert joined.counts.tolist() == [4, 1]
    assert joined.tag_of == {"a1": "a1", "b1": "a1", "c1": "a1", "d1": "d1"}
    assert joined.reasons == {"c1": "x", "b1": "y"}
    assert set(joined.members["a1"]) == {"a1", "b1", "c1"}
    kept = joined.keep(joined.counts > 1, "rare")
    assert kept.merges() == (
        {"a1": "a1", "b1": "a1", "c1": "a1", "d1": None},
        {"c1": "x", "b1": "y", "d1": "rare"},
    )
    gone = joined.keep(joined.counts < 2, "common").merges()[1]
    assert gone == {"a1": "common", "b1": "common", "c1": "common"}


def test_compounds_join_the_commonest_spelling() -> None:
    words = vocabulary(new_york=3, newyork=9, sea=1)
    assert names(words, compounds(words)) == {"new york": "newyork"}


def test_numbers_join_the_commoner() -> None:
    words = vocabulary(tower=2, towers=5, cats=1, cat=4, news=3, new=8)
    assert names(words, numbers(words)) == {"tower": "towers", "cats": "cat"}


def test_slips_must_be_ten_times_rarer() -> None:
    words = vocabulary(cathedral=30, cathederal=3, catherdal=4, postal=1, portal=10)
    found = list(slips(words, 5))
    assert names(words, found) == {"cathederal": "cathedral", "postal": "portal"}
    assert [joining.doubtful for _, joining in found] == [False, True]
    assert names(words, confirmed(found, words, {}, 0)) == {"cathederal": "cathedral"}
    assert names(words, slips(words, 11)) == {"cathederal": "cathedral"}


def test_vectors_decide_about_doubtful_pairs() -> None:
    words = vocabulary(window=40, widow=2, windw=1, glass=6, new=3, news=9)
    pairs = list(slips(words, 5))
    same, other = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    assert names(words, confirmed(pairs, words, {"window": same, "widow": other}, LEXICON)) == {
        "windw": "window"
    }
    assert names(words, confirmed(pairs, words, {"window": same, "widow": same}, 9)) == {"widow": "window"}
    assert confirmed(pairs, words, {"window": same}, LEXICON - 1) == {}
    plural = vocabulary(fall=3, leaf=3, leaves=1)
    pairs = list(numbers(plural))
    assert names(plural, confirmed(pairs, plural, {}, 0)) == {"leaves": "leaf"}
    assert confirmed(pairs, plural, {"leaf": same, "leaves": other}, 9) == {}


def at(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


def test_near_vectors_join_without_chains_and_series_stay_apart() -> None:
    words = vocabulary(auto=3, automobile=2, car=9, bus=1, monday=4, tuesday=3)
    found = near_equals(words, at(0, 8, 16, 90, 200, 200), 0.97)  # 14 degrees
    assert names(words, found) in ({"auto": "automobile"}, {"automobile": "auto"}, {"automobile": "car"})
    assert len(near_equals(words, at(0, 6, 12, 90, 200, 200), 0.97)) == 2
    reason = near_equals(words, at(0, 90, 0, 180, 200, 210), 0.97)[0].reason
    assert reason == "vector 1.00"
    days = vocabulary(days=3, weeks=3, day=5)
    assert names(days, near_equals(days, at(0, 0, 0), 0.9)) == {"days": "day"}
    colours = vocabulary(gray=2, grey=3, white=1)
    assert names(colours, near_equals(colours, at(0, 0, 90), 0.9)) == {"gray": "grey"}
    assert near_equals(colours, at(0, 90, 90), 0.9) == {}
    months = vocabulary(jan=2, july=3, dec=4)
    assert near_equals(months, at(0, 0, 0), 0.9) == {}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9999), st.floats(0.5, 0.99))
def test_members_of_a_group_are_all_near_and_a_rotation_changes_none(seed: int, threshold: float) -> None:
    draw = np.random.default_rng(seed)
    words = vocabulary(**{f"word{'abcdefghijklmnop'[i]}": int(draw.integers(1, 9)) for i in range(16)})
    vectors = draw.standard_normal((16, 3)).astype(np.float32)
    found = near_equals(words, vectors, threshold)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    groups: dict[int, list[int]] = {}
    for row, joining in found.items():
        groups.setdefault(joining.into, [joining.into]).append(row)
    for rows in groups.values():
        assert (unit[rows] @ unit[rows].T).min() >= threshold - 1e-5
    rotation = np.linalg.qr(draw.standard_normal((3, 3)))[0].astype(np.float32)
    assert names(words, near_equals(words, vectors @ rotation, threshold)) == names(words, found)


@pytest.mark.parametrize("count", [0, 1])
def test_no_tags_merge_into_nothing(count: int) -> None:
    words = read_vocabulary([["sea"]] * count)
    assert compounds(words) == {}
    assert list(numbers(words)) == list(slips(words, 1)) == []
    assert words.join({}) is words
