import pytest
from hypothesis import given
from hypothesis import strategies as st

from perisphere.errors import PerisphereError, UsageError
from perisphere.tags.architecture import CONCEPTS
from perisphere.tags.concepts import ConceptWords
from perisphere.tags.concepts.concept_words import BUILT_IN, Entry, read_entries
from perisphere.tags.concepts.tokens import BREAK, tokens_of

WORDS = ConceptWords.built_in()


@pytest.mark.parametrize(
    ("text", "concepts"),
    [
        ("Portal with statues", ["portal", "statue"]),
        ("Stained_glass-windows of the CHOIR", ["window", "choir"]),
        ("Buffet d&#39;orgue de la nef", ["organ", "nave"]),
        ("Rosaces et vitraux, façade sud", ["window", "window", "facade"]),
        ("Die Türme, das Hauptportal und der Hochaltar des Münsters", ["tower", "portal", "altar"]),
        ("Facciata, navate e campanili", ["facade", "nave", "tower"]),
        ("Vidrieras y sillería del coro; torres", ["window", "choir", "tower"]),
        ("Капелла и алтарь собора", ["chapel", "altar"]),  # noqa: RUF001
        ("大聖堂の祭壇とステンドグラス", ["altar", "window"]),
        ("Fenestrae et turres", ["window", "tower"]),
        ("The choir boys beside the altar", ["altar"]),
        ("Ein Sturm über der Stadt", []),
        ("Skulptur", ["statue"]),  # ends in tur, as Tür does without its mark
        ("statuesque navels, organised chorizo", []),
        ("", []),
    ],
)
def test_words_of_many_languages_name_concepts(text, concepts):
    assert [mention.concept for mention in WORDS.find(text)] == concepts


def test_the_built_in_words_are_of_the_ten_concepts_and_say_each_thing_once():
    entries = list(read_entries(BUILT_IN))
    assert WORDS.concepts == CONCEPTS
    assert len({(entry.word, entry.language, entry.concept) for entry in entries}) == len(entries)
    assert {"en", "fr", "de", "it", "es", "la"} <= {entry.language for entry in entries}
    for entry in entries:
        if entry.concept in CONCEPTS:
            found = WORDS.find(entry.word.replace("*", "xyz" if len(entry.word) > 4 else ""))
            assert [mention.concept for mention in found] == [entry.concept], entry


def test_a_mention_says_where_and_what_it_found():
    (mention,) = WORDS.find("Great: the Rose Windows")
    assert (mention.concept, mention.word, mention.start, mention.stop) == ("window", "rose windows", 3, 5)
    assert mention.language == "en"
    assert not mention.hint
    (hint,) = WORDS.find("Reredos")
    assert (hint.concept, hint.hint) == ("altar", True)


def test_a_phrase_does_not_reach_over_punctuation():
    words = ConceptWords([Entry("rose window", "en", "rosette"), Entry("window", "en", "window")])
    assert words.concepts_in("rose window") == ["rosette"]
    assert words.concepts_in("A rose. Window") == ["window"]
    assert words.concepts_in("rose-window") == ["rosette"]


def test_later_words_replace_earlier_ones_and_a_dash_names_nothing():
    mine = [Entry("porte", "fr", "gate"), Entry("organ grinder", "en", "-"), Entry("*stuhl", "de", "chair")]
    words = ConceptWords([*WORDS.entries, *mine])
    assert words.concepts_in("Porte et portail") == ["gate", "portal"]
    assert words.concepts_in("An organ grinder at the organ") == ["organ"]
    assert len(words.find("An organ grinder")) == 0
    assert words.concepts_in("Bischofsstuhl") == ["chair"]
    assert words.concepts == (*CONCEPTS, "gate", "chair")


def test_chosen_concepts_keep_their_words_and_are_words_themselves():
    words = WORDS.of(["statue", "sculpture", "rood_screen", "portal"])
    assert words.concepts == ("statue", "sculpture", "rood_screen", "portal")
    assert words.concepts_in("Rood screens, sculptures, a statua, altar") == [
        "rood_screen",
        "sculpture",
        "statue",
    ]
    assert not next(m.hint for m in words.find("sculpture"))


def test_languages_are_chosen_and_unknown_ones_named():
    english = WORDS.speaking(["en"])
    assert english.concepts_in("Chapelle with a chapel") == ["chapel"]
    assert len(english.find("Chapelle")) == 0
    with pytest.raises(UsageError, match="language 'eng' has no words here"):
        WORDS.speaking(["eng"])


def test_undivided_scripts_are_searched_anywhere_in_their_order():
    words = ConceptWords([Entry("塔", "ja", "tower"), Entry("祭壇", "ja", "altar")])
    assert [m.concept for m in words.find("教会の祭壇と塔")] == ["altar", "tower"]


@pytest.mark.parametrize("word", ["*", "a*b", "*ab", "two words*", "!?"])
def test_words_that_cannot_be_found_are_refused(word):
    with pytest.raises(PerisphereError, match="concept word"):
        ConceptWords([Entry(word, "en", "thing")])


def test_mapping_files_are_read_with_comments_and_a_heading(tmp_path):
    file = tmp_path / "mine.tsv"
    file.write_text("# mine\nword\tlanguage\tconcept\n\nkryta\tpl\tcrypt\r\ntomb\ten\tcrypt\thint\n", "utf-8")
    assert list(read_entries(file)) == [Entry("kryta", "pl", "crypt"), Entry("tomb", "en", "crypt", True)]


@pytest.mark.parametrize(
    "line",
    [
        "portal",
        "portal\ten",
        "a\ten\tb\tstrong",
        "a\t\tb",
        "a\ten\t",
        f"{'x' * 101}\ten\tb",
        "a\ten\tb\thint\tc",
    ],
)
def test_a_broken_line_is_named_by_its_number(tmp_path, line):
    file = tmp_path / "mine.tsv"
    file.write_text(f"door\ten\tportal\n{line}\n", "utf-8")
    with pytest.raises(PerisphereError, match=r"mine\.tsv: line 2 is not WORD"):
        list(read_entries(file))


def test_hostile_bytes_are_words_or_an_error_and_never_run(tmp_path):
    file = tmp_path / "mine.tsv"
    file.write_bytes(b"\x80\x04cposix\nsystem\n(S'touch x'\ntR.")
    with pytest.raises(PerisphereError, match="line 1"):
        list(read_entries(file))
    with pytest.raises(PerisphereError, match="no such list"):
        list(read_entries(tmp_path / "none.tsv"))


@given(st.text(max_size=80))
def test_mentions_follow_each_other_and_lie_within_the_text(text):
    tokens = tokens_of(text)
    assert all(token == BREAK or token.strip() for token in tokens)
    assert BREAK not in (tokens[:1], tokens[-1:])
    at = 0
    for mention in WORDS.find(text):
        assert at <= mention.start < mention.stop <= len(tokens)
        at = mention.start


@given(
    st.lists(
        st.sampled_from(["portal", "Türme", "the", "orgue", "stained glass", ",", "Seville"]), max_size=8
    )
)
def test_case_accents_and_blanks_change_nothing(words):
    text = " ".join(words)
    found = WORDS.concepts_in(text)
    assert WORDS.concepts_in(text.upper()) == found
    assert WORDS.concepts_in(text.replace("ü", "u\u0308")) == found
    assert WORDS.concepts_in(text.replace(" ", "  \n")) == found
