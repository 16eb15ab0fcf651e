import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.tags.words import joined, normalise, objection, words_of


@pytest.mark.parametrize(
    ("typed", "tag"),
    [
        ("São_Paulo", "sao paulo"),
        ("  NEW-YORK ", "new york"),
        ("Dall'Orto", "dallorto"),
        ("#sunset!", "sunset"),
        ("Køln/Łódź", "koln lodz"),
        ("Straße", "strasse"),
        ("ﬁsh", "fish"),
        ("\uff26\uff35\uff2a\uff29", "fuji"),
        ("東京タワー", "東京タワー"),
        ("हिन्दी", "हिन्दी"),
        ("Персидский", "персидский"),
        ("жёлтый", "желтый"),
        ("άγαλμα", "αγαλμα"),
        ("☀☀", ""),
        ("rock&roll", "rock roll"),
    ],
)
def test_case_accents_and_separators_are_levelled(typed: str, tag: str) -> None:
    assert normalise(typed) == tag


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30))
def test_normalising_twice_changes_nothing_more(word: str) -> None:
    once = normalise(word)
    assert normalise(once) == once
    assert joined(once).count(" ") == 0
    assert once == once.strip()


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("geo:lat=48.1", "machine tag"),
        ("upcoming:event=12", "machine tag"),
        ("2008", "number"),
        ("1,000.5", "number"),
        ("!!", "no letters"),
        ("a", "one letter"),
        ("The", "function word"),
        ("x" * 101, "too long"),
        ("35mm", None),
        ("note: red", None),
        ("海", None),
    ],
)
def test_what_is_no_tag_is_refused_with_a_reason(typed: str, reason: str | None) -> None:
    assert objection(typed, normalise(typed)) == reason


def test_a_caption_is_its_words_without_function_words_numbers_and_repeats() -> None:
    assert words_of("The West Façade of the façade, 12 Dec. 2007 (St. Mary's)") == [
        "west",
        "facade",
        "dec",
        "marys",
    ]
    assert words_of("") == []
