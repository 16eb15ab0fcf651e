import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.tags.spelling import other_number, shortened, singulars, slip


@pytest.mark.parametrize(
    ("many", "one"),
    [
        ("cats", "cat"),
        ("churches", "church"),
        ("skies", "sky"),
        ("glass windows", "glass window"),
        ("boxes", "box"),
        ("women", "woman"),
        ("waves", "wave"),
        ("niches", "niche"),
        ("buses", "bus"),
        ("heroes", "hero"),
        ("shoes", "shoe"),
    ],
)
def test_plurals_and_singulars_find_each_other(many: str, one: str) -> None:
    assert one in singulars(many)
    assert one in other_number(many)
    assert many in other_number(one)


@pytest.mark.parametrize(
    "word",
    [
        "blues",
        "judas",
        "trans",
        "tights",
        "tomas",
        "ashes",
        "news",
        "glass",
        "bus",
        "paris",
        "christmas",
        "iris",
        "s",
        "is",
        "",
        "lens",
        "arms",
    ],
)
def test_words_that_only_end_like_plurals_have_no_singular(word: str) -> None:
    assert singulars(word) == []


@pytest.mark.parametrize(
    ("rare", "common", "grade"),
    [
        ("sunest", "sunset", "sure"),
        ("capillla", "capilla", "sure"),
        ("reflecton", "reflection", "sure"),
        ("new yrok city hall", "new york city hall", None),  # four letters are too few to tell
        ("stained glas windwos", "stained glass windows", None),  # two slips
        ("gothic cathdral", "gothic cathedral", "sure"),
        ("minster", "minister", "doubtful"),
        ("windw", "window", "doubtful"),
        ("postal", "portal", "doubtful"),
        ("german", "germany", "doubtful"),
        ("entree", "entre", "doubtful"),
        ("staring", "starring", "doubtful"),
        ("striped", "stripped", "doubtful"),
        ("traveling", "travelling", "sure"),
        ("holidday", "holiday", "sure"),
        ("angles", "angels", None),
        ("carving", "craving", None),
        ("filing", "filling", None),
        ("cannon", "canon", None),
        ("horse", "house", None),
        ("towers", "tower", None),
        ("nikond300", "nikond200", None),
        ("bsunset", "sunset", None),
        ("sunset", "sunset", None),
        ("sunset", "sunsets beach", None),
    ],
)
def test_slips_are_told_from_other_words(rare: str, common: str, grade: str | None) -> None:
    assert slip(rare, common) == slip(common, rare) == grade


def test_shoes_are_no_sho() -> None:
    assert singulars("shoes") == ["shoe"]


words = st.text("abcdé 1", min_size=1, max_size=12).map(lambda text: " ".join(text.split())).filter(bool)


@settings(max_examples=200, deadline=None)
@given(words, words)
def test_every_slip_is_among_the_candidates(a: str, b: str) -> None:
    assert slip(a, b) == slip(b, a)
    if slip(a, b):
        assert set(shortened(a)) & set(shortened(b))


@settings(max_examples=100, deadline=None)
@given(st.text("abcdefgh", min_size=6, max_size=12), st.data())
def test_a_transposition_is_a_slip(word: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(word) - 2))
    other = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    assert (slip(other, word) == "sure") == (other != word)
    assert other == word or set(shortened(other)) & set(shortened(word))
