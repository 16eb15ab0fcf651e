import pytest

from perisphere.errors import PerisphereError
from perisphere.tags.concepts import ConceptWords, PhotoText
from perisphere.tags.concepts.concept_file import read_concepts, write_concepts
from perisphere.tags.concepts.proposal import Limits, propose
from perisphere.tags.concepts.terms import terms_of

WORDS, NONE = ConceptWords.built_in(), ConceptWords(())
TOWNS = ("Seville", "Reims", "Lincoln", "Milan", "Ulm")
PARTS = ("Portals", "Nave", "Crypts")


def texts():
    """Five cathedrals: captions follow the portals and naves, and say anything of the crypts."""
    for number, town in enumerate(TOWNS):
        for photo in range(36):
            part = PARTS[photo % 3]
            said = {"Portals": "a portal", "Nave": "the nave", "Crypts": ("a crypt", "tourists")[photo % 2]}[
                part
            ]
            said = "a crypt" if photo % 9 == 0 else said
            caption = f"{town} Cathedral, {said}, photo {photo} of 2011"
            yield PhotoText(
                caption, (f"Interior of {town} Cathedral", f"{part} of {town} Cathedral"), str(number)
            )


def test_good_concepts_name_categories_of_many_landmarks():
    found = propose(texts(), NONE)
    by_word = {one.word: one for one in found}
    assert {one.word for one in found if not one.objection} == {"nave", "portal", "crypt"}
    assert [bool(one.objection) for one in found] == sorted(bool(one.objection) for one in found)
    assert not {town.lower() for town in TOWNS} & set(by_word)  # words of landmarks' names
    portal = by_word["portal"]
    assert portal.named == 5
    assert portal.in_categories == 60
    assert set(portal.photos) == {"0", "1", "2", "3", "4"}
    assert portal.total == sum(portal.photos.values())
    assert portal.forms.keys() == {"portal", "portals"}
    assert portal.agreement > by_word["crypt"].agreement


def test_captions_that_do_not_follow_a_category_speak_against_it():
    rows = [
        PhotoText("sky" if photo % 3 else "a dome", (f"{('Domes', 'Roof')[photo // 3 % 2]} of {town}",), town)
        for town in TOWNS
        for photo in range(24)
    ]
    dome = next(one for one in propose(rows, NONE) if one.word == "dome")
    assert dome.agreement == pytest.approx(1, abs=0.1)
    assert "captions do not follow it" in dome.objection


def test_words_about_pictures_are_no_concepts():
    rows = [PhotoText("", (f"Interior of {town}",), town) for town in TOWNS for _ in range(9)]
    (interior,) = (one for one in propose(rows, NONE) if one.word == "interior")
    assert (interior.named, interior.objection) == (5, "tells of the picture or of the whole")


def test_words_of_the_mapping_are_counted_together():
    rows = [
        PhotoText(caption, (name,), town)
        for town, name, caption in [
            *[("Reims", "Vitraux de la cathédrale", "une rosace")] * 10,
            *[("Ulm", "Fenster im Chor", "ein Glasfenster")] * 10,
            *[("Ely", "Windows", "stained glass")] * 10,
        ]
    ]
    window = next(one for one in propose(rows, WORDS) if one.word == "window")
    assert (window.total, window.named, window.objection) == (30, 3, "")
    assert list(window.forms)[:2] == ["fenster", "glasfenster"]
    assert "window" not in {one.word for one in propose(rows, NONE)}


def test_the_name_that_is_given_is_left_out():
    rows = [PhotoText("Ely", ("Tower of Ely",), "ely cathedral") for _ in range(30)]
    assert {one.word for one in propose(rows, NONE)} == {"tower"}


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("West facade of Reims cathedral", "facade"),
        ("Fachada oeste de la Catedral de Salamanca", "facade"),
        ("Duomo (Milan) - Altars", "altar"),
        ("Choir screen", "choir"),
        ("Pulpit of X", "pulpit"),
        ("1920", ""),
    ],
)
def test_the_head_of_a_name_says_what_it_names(name, head):
    assert terms_of(name, WORDS).head({"duomo", "milan"}) == head


def test_limits_ask_for_three_landmarks_where_there_are_so_many():
    assert [Limits().least_landmarks(n) for n in (1, 2, 20, 84)] == [1, 2, 3, 8]


def test_proposals_are_written_as_a_list_to_choose_from(tmp_path):
    file = tmp_path / "concepts.tsv"
    found = propose(texts(), NONE)
    write_concepts(file, found)
    assert read_concepts(file) == [one.word for one in found if not one.objection]
    text = file.read_text("utf-8")
    assert all(f"\n# {one.word}\t" in text for one in found if one.objection)
    file.write_text(text.replace("\nportal", "\n# portal"), "utf-8")
    assert "portal" not in read_concepts(file)
    plain = tmp_path / "plain.txt"
    plain.write_text("organ\nrood screen\n", "utf-8")
    assert read_concepts(plain) == ["organ", "rood screen"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "names no concept"),
        ("# a\n", "names no concept"),
        ("a\na\n", "there twice"),
        ("x" * 101, "too long"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(tmp_path, content, message):
    file = tmp_path / "concepts.txt"
    file.write_text(content, "utf-8")
    with pytest.raises(PerisphereError, match=message):
        read_concepts(file)
