from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vector_files import binary, text, vectors_of, written

from perisphere.errors import PerisphereError, UsageError
from perisphere.tags import Tags
from perisphere.tags.build import Making, build_tags

PHOTOS = [
    *[["Sunset", "sea", "beach"]] * 6,
    *[["sunsets", "SEA", "2008"]] * 5,
    *[["New York", "skyline"]] * 6,
    *[["newyork", "skyline", "night"]] * 5,
    ["skylnie", "geo:lat=40.7"],
    *[["cat"]] * 7,
    [],
]


def test_words_become_tags_and_the_account_says_how() -> None:
    tags, account = build_tags(PHOTOS)
    assert set(tags.names) == {"sunset", "sea", "beach", "new york", "skyline", "night", "cat"}
    assert dict(zip(tags.names, tags.counts.tolist(), strict=True))["sunset"] == 11
    assert list(tags.counts) == sorted(tags.counts, reverse=True)
    assert tags.merges["skylnie"] == "skyline"
    assert tags.merges["newyork"] == "new york"
    assert tags.merges["2008"] is None
    assert tags.reasons["2008"] == "number"
    assert account.merged == {
        "compound": [("newyork", "new york")],
        "singular, plural": [("sunsets", "sunset")],
        "spelling": [("skylnie", "skyline")],
    }
    assert account.dropped == {"number": 1, "machine tag": 1}
    assert (account.photos, account.tagged, account.typed) == (31, 30, 13)
    assert tags.about["vectors"] == "learned"


def test_without_merging_each_spelling_is_a_tag() -> None:
    tags, account = build_tags(PHOTOS, Making(merge=False, min_count=1))
    assert {"sunset", "sunsets", "newyork", "new york", "skylnie"} <= set(tags.names)
    assert account.merged == {}


def test_vectors_come_from_a_file_and_what_it_lacks_is_dropped_and_told(tmp_path: Path) -> None:
    vectors = vectors_of()
    file = written(tmp_path / "v.bin", binary(vectors))
    tags, account = build_tags(PHOTOS, Making(strength=0), vectors=file)
    assert set(tags.names) == {"sunset", "sea", "beach", "new york", "cat"}
    for tag, word in (("new york", "New_York"), ("sea", "sea")):
        np.testing.assert_array_equal(tags.vectors[tags.row_of[tag]], vectors[word])
    assert account.unknown.keys() == {"skyline", "night"}
    assert "Skyline" in account.unknown["skyline"]
    assert account.otherwise == {"new york": "New_York"}
    assert tags.reasons["skyline"] == tags.reasons["skylnie"] == "no vector"
    assert tags.about["vectors"] == "v.bin"


def test_the_vector_of_a_merged_tag_is_the_mean_of_its_members(tmp_path: Path) -> None:
    vectors = {"cat": np.array([1, 0.4, 0]), "cats": np.array([1, 0, 0.4]), "auto": np.array([0, 0, 1.0])}
    vectors["automobile"] = vectors["auto"] + 0.1
    photos = [["cat", "auto"]] * 6 + [["cats", "automobile"]] * 5
    file = written(tmp_path / "v", text({word: row.astype(np.float32) for word, row in vectors.items()}))
    tags, account = build_tags(photos, Making(strength=0), vectors=file)
    assert set(tags.names) == {"cat", "auto"}
    np.testing.assert_allclose(tags.vectors[tags.row_of["cat"]], [1, 0.2, 0.2], atol=1e-6)
    np.testing.assert_allclose(tags.vectors[tags.row_of["auto"]], [0.05, 0.05, 1.05], atol=1e-6)
    assert list(account.merged) == ["singular, plural", "vector"]
    apart, _ = build_tags(photos, Making(strength=0, near=0.9999), vectors=file)
    assert "automobile" in apart.names


def test_correlated_tags_lend_meaning_in_proportion_to_the_strength(tmp_path: Path) -> None:
    file = written(tmp_path / "v.bin", binary(vectors_of()))
    plain, _ = build_tags(PHOTOS, Making(strength=0), vectors=file)
    cosines = []
    for strength in (0.0, 0.2, 0.5):
        tags, _ = build_tags(PHOTOS, Making(strength=strength), vectors=file)
        a, b = tags.row_of["sunset"], tags.row_of["sea"]
        cosines.append(float(tags.unit[a] @ tags.unit[b]))
        lonely = tags.row_of["cat"]
        np.testing.assert_array_equal(tags.vectors[lonely], plain.vectors[lonely])
    assert cosines == sorted(cosines)
    assert cosines[2] > cosines[0] + 0.1


def test_correlation_by_vectors_needs_no_photos_in_common(tmp_path: Path) -> None:
    rows = {"sea": [1, 0.5, 0], "ocean": [1, -0.5, 0], "cat": [0, 0, 1]}
    file = written(tmp_path / "v", text({word: np.array(row, np.float32) for word, row in rows.items()}))
    photos = [[word] for word in rows for _ in range(5)]
    tags, _ = build_tags(photos, Making(by="vectors", threshold=0.5, strength=0.5), vectors=file)
    np.testing.assert_allclose(tags.vectors[tags.row_of["sea"]], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(tags.vectors[tags.row_of["cat"]], [0, 0, 1], atol=1e-6)


def test_the_same_words_give_the_same_tags() -> None:
    assert build_tags(PHOTOS)[0].fingerprint == build_tags(iter(PHOTOS))[0].fingerprint


def test_tags_whose_eigenvalues_are_alike_get_vectors() -> None:
    typed = "1a|ao|o1|1S|bo eb|bS|bb ea 11a|1S 1e ba eS|ae b1 e1 11S|Sb aa ab|S1 SS|Se a1|1b 1o Sa"
    tags, _ = build_tags([photo.split() for photo in typed.split("|")], Making(min_count=1))
    np.testing.assert_allclose(np.linalg.norm(tags.unit, axis=1), 1, atol=1e-6)


lists = st.lists(st.lists(st.text("abeos_S é1", max_size=8), max_size=6), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(lists)
def test_whatever_is_typed_every_word_is_accounted_for(photos: list[list[str]]) -> None:
    try:
        tags, account = build_tags(photos, Making(min_count=1))
    except PerisphereError:
        return
    typed = {word for words in photos for word in words}
    assert tags.merges.keys() == typed
    assert {word for word in typed if tags.merges[word] != word} <= tags.reasons.keys()
    assert sum(account.dropped.values()) == sum(tag is None for tag in tags.merges.values())
    indptr, indices = tags.rows(photos)
    np.testing.assert_array_equal(np.bincount(indices, minlength=len(tags)), tags.counts)
    assert (np.diff(indptr) > 0).sum() == account.tagged


def test_photos_that_others_lack_change_no_vector_of_learned_tags() -> None:
    empty = [[], *PHOTOS, []]
    np.testing.assert_allclose(build_tags(empty)[0].vectors, build_tags(PHOTOS)[0].vectors, atol=1e-6)


@pytest.mark.parametrize(
    ("photos", "making", "says"),
    [
        ([], Making(), "Lower --min-count"),
        ([["cat"]] * 4, Making(), "on 5 photos or more"),
        ([["cat"]] * 9, Making(), "--vectors FILE"),
    ],
)
def test_nothing_left_is_an_error_with_a_mend(photos: list[list[str]], making: Making, says: str) -> None:
    with pytest.raises(PerisphereError, match=says):
        build_tags(photos, making)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("min_count", 0),
        ("near", 1.5),
        ("near", 0.0),
        ("dim", 1),
        ("strength", -0.1),
        ("correlated", 0),
        ("threshold", 2),
    ],
)
def test_values_out_of_range_name_the_option(option: str, value: float) -> None:
    with pytest.raises(UsageError, match=rf"{option.replace('_', '-')} is {value}"):
        Making(**{option: value})


def test_real_captions_merge_spellings_and_not_words(shared: Path) -> None:
    tags = wikiscenes_tags(shared)
    same = {"windows": "window", "cathederal": "cathedral", "colonge": "cologne", "churches": "church"}
    for word, tag in same.items():
        assert tags.merges[word] == tag
    apart = [("angles", "angel"), ("minister", "minster"), ("inferior", "interior"), ("state", "statue")]
    apart += [("entree", "entre"), ("widow", "window"), ("monsters", "munster"), ("german", "germany")]
    for a, b in apart:
        assert tags.lookup(b) is not None, b
        assert tags.merges[a] != tags.lookup(b)
    near = tags.neighbours(tags.point("seville").vector[None], 5)[0][0]
    assert "andalucia" in [tags.names[row] for row in near]


def wikiscenes_tags(shared: Path) -> Tags:
    import gzip

    from perisphere.tags.words import words_of

    captions = []
    for file in sorted((shared / "data/wikiscenes").glob("*_10classes_*.txt.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            captions += [words_of(line.rstrip("\n").split(":")[2]) for line in lines]
    return build_tags(captions, Making(min_count=12, dim=60, strength=0))[0]
