import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perisphere.errors import PerisphereError
from perisphere.tags.architecture import CONCEPTS
from perisphere.tags.concepts import ConceptWords, PhotoText, label, label_vectors
from perisphere.tags.concepts.agreement import ClassAgreement, agreement, macro
from perisphere.tags.concepts.balancing import thin

WORDS = ConceptWords.built_in()
CLASSES = ["a", "b", "c"]
PHRASES = ["", "Portals of Reims", "Chapelle Sainte-Anne", "Facade", "an altar", "Sculptures", "Reims"]


def concepts(caption, *categories, landmark="", **options):
    return label(PhotoText(caption, categories, landmark), WORDS, **options).concepts


def test_the_primary_concept_is_that_of_the_own_category_else_of_the_caption():
    assert concepts("Statue at the door", "Exterior", "South portal") == ("portal",)
    assert concepts("Statue at the door", "Exterior", "South side") == ("statue",)
    assert concepts("2008", "Exterior", "South side") == ()


def test_higher_categories_follow_the_roots_first():
    names = ("Facades of X", "Chapels, interior", "Portals of X", "South portal")
    assert concepts("", *names) == ("portal", "facade", "chapel")
    assert concepts("A statue", "Facades of X", "Portals of X", "South") == ("statue", "facade", "portal")


def test_names_come_before_hints_and_one_language_before_others():
    assert concepts("Sculptures beside the organ", "Interior") == ("organ",)
    assert concepts("Door of the cathedral", "Sculptures") == ("statue",)
    french = ("Chapels of Rouen", "Chapelle Saint-Eustache")
    assert concepts("Statue of a saint", *french) == ("statue", "chapel")
    assert concepts("Statue of a saint", *french, first=None) == ("chapel",)
    assert concepts("Statue of a saint", *french, first="fr") == ("chapel",)
    assert concepts("", *french) == ("chapel",)


def test_hints_of_higher_categories_are_left_out():
    assert concepts("", "Sculptures", "West portal") == ("portal",)


def test_only_asked_a_photo_inherits_from_the_nearest_category():
    names = ("Facades of X", "Portals of X", "Dragon")
    assert concepts("", *names) == ()
    assert concepts("", *names, inherit=True) == ("portal", "facade")
    assert concepts("An altar", *names, inherit=True) == ("altar", "facade", "portal")


def test_words_of_the_landmarks_name_mean_no_concept():
    name = "Sainte-Chapelle de Paris"
    assert concepts("Interior of the Sainte-Chapelle", landmark=name) == ()
    assert concepts("Windows of the Sainte Chapelle", landmark=name) == ("window",)
    assert concepts("A chapelle of it", landmark=name) == ("chapel",)
    assert concepts("Interior of the Sainte-Chapelle") == ("chapel",)


def test_a_label_says_where_its_word_stood():
    found = label(PhotoText("Flèche", ("Roofs",)), WORDS)
    assert (found.concepts, found.place, found.word, found.hint) == (("tower",), "caption", "fleche", True)
    assert label(PhotoText(), WORDS).place == "nowhere"


@given(st.sampled_from(PHRASES), st.lists(st.sampled_from(PHRASES), max_size=4), st.booleans())
def test_labels_are_different_and_come_from_the_texts(caption, categories, inherit):
    found = label(PhotoText(caption, categories), WORDS, inherit=inherit)
    said = {name for text in [caption, *categories] for name in WORDS.concepts_in(text)}
    assert len(set(found.concepts)) == len(found.concepts)
    assert set(found.concepts) <= said
    assert bool(found.concepts) == (found.place != "nowhere")
    if said and inherit:
        assert found.concepts


def test_label_vectors_hold_all_concepts_and_the_first():
    vectors = label_vectors([["portal", "facade"], [], ["organ"]], CONCEPTS)
    assert vectors.classes == CONCEPTS
    assert [CONCEPTS[k] for k in np.flatnonzero(vectors.related[0])] == ["facade", "portal"]
    assert [CONCEPTS[k] for k in np.flatnonzero(vectors.primary[0])] == ["portal"]
    assert vectors.related.sum(1).tolist() == [2, 0, 1]
    assert vectors.primary.sum(1).tolist() == [1, 0, 1]
    assert label_vectors([], ["a"]).related.shape == (0, 1)


def test_label_vectors_refuse_what_is_no_class():
    with pytest.raises(
        PerisphereError, match=r"concept 'portals' is none of the classes.*Did you mean 'portal'"
    ):
        label_vectors([["portals"]], CONCEPTS)
    with pytest.raises(PerisphereError, match="there twice"):
        label_vectors([], ["a", "a"])


def test_thinning_leaves_small_landmarks_whole():
    classes = ["a"] * 110 + ["b"] * 5 + [None] * 3
    landmarks = ["big"] * 90 + ["middle"] * 15 + ["small"] * 5 + ["big"] * 8
    kept = thin(classes, landmarks, 40)
    groups = [kept[:90].sum(), kept[90:105].sum(), kept[105:110].sum()]
    assert groups == [20, 15, 5]
    assert kept[110:].all()
    assert (thin(classes, landmarks, 40) == kept).all()
    assert (thin(classes, landmarks, 40, seed=1) != kept).any()


@given(st.lists(st.tuples(st.sampled_from([*CLASSES, None]), st.sampled_from("xyz"))), st.integers(1, 6))
def test_thinning_keeps_so_many_of_each_class(photos, most):
    classes, landmarks = [name for name, _ in photos], [landmark for _, landmark in photos]
    kept = thin(classes, landmarks, most)
    for name in CLASSES:
        assert sum(kept[row] for row, one in enumerate(classes) if one == name) == min(
            most, classes.count(name)
        )
    assert all(kept[row] for row, one in enumerate(classes) if one is None)


def test_agreement_counts_primary_and_all_concepts():
    ours = [["a", "b"], ["b"], [], ["c"]]
    published = [["a"], ["a", "b"], ["c"], ["c"]]
    found = agreement(ours, published, CLASSES)
    assert (found.photos, found.same_primary, found.same_concepts, found.unlabelled) == (4, 2, 1, 1)
    assert found.primary["a"] == ClassAgreement(1, 1, 2)
    assert (found.primary["a"].precision, found.primary["a"].recall) == (1.0, 0.5)
    assert found.primary["a"].f1 == pytest.approx(2 / 3)
    assert found.primary["b"] == ClassAgreement(0, 1, 0)
    assert (found.primary["b"].precision, found.primary["b"].recall, found.primary["b"].f1) == (
        0.0,
        None,
        0.0,
    )
    assert found.related["b"] == ClassAgreement(1, 2, 1)
    assert macro(found.primary, "recall") == pytest.approx((0.5 + 0.5) / 2)
    assert macro({"a": ClassAgreement(0, 0, 0)}, "f1") is None


@given(st.lists(st.lists(st.sampled_from(CLASSES), unique=True, max_size=3)))
def test_labels_agree_with_themselves(labels):
    found = agreement(labels, labels, CLASSES)
    assert found.same_primary == found.same_concepts == found.photos == len(labels)
    assert all(one.f1 in (None, 1.0) for one in (*found.primary.values(), *found.related.values()))
