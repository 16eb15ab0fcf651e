import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.errors import PerisphereError
from perisphere.tags import Tags

NAMES = ("sunset", "new york", "beach", "cat")
MERGES = {
    "Sunset": "sunset",
    "sunsets": "sunset",
    "NewYork": "new york",
    "Beach": "beach",
    "cat": "cat",
    "x1": None,
}

FINGERPRINT = "5a8790c59ec101d5"


def some_tags(dim: int = 6, seed: int = 0) -> Tags:
    vectors = np.random.default_rng(seed).standard_normal((len(NAMES), dim)).astype(np.float32) * 3
    return Tags(NAMES, vectors, np.array([9, 4, 3, 2]), MERGES, {"from": "hand"}, {"sunsets": "plural"})


def test_a_folder_brings_back_what_was_saved_and_equal_tags_give_equal_bytes(tmp_path: Path) -> None:
    tags = some_tags()
    tags.save(tmp_path / "a")
    some_tags().save(tmp_path / "b")
    back = Tags.load(tmp_path / "a")
    assert (back.names, back.merges, back.about, back.reasons) == (
        tags.names,
        MERGES,
        tags.about,
        tags.reasons,
    )
    np.testing.assert_array_equal(back.vectors, tags.vectors)
    np.testing.assert_array_equal(back.counts, tags.counts)
    assert back.fingerprint == tags.fingerprint != some_tags(seed=1).fingerprint
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    with pytest.raises(PerisphereError, match="exists already"):
        tags.save(tmp_path / "a")
    tags.save(tmp_path / "a", overwrite=True)


def test_a_dropped_word_is_dropped_in_every_case_though_its_singular_is_a_tag() -> None:
    tags = Tags(("glove",), np.ones((1, 2), np.float32), np.array([5]), {"glove": "glove", "gloves": None})
    assert [tags.lookup(word) for word in ("gloves", "Gloves", "GLOVE")] == [None, None, "glove"]


def test_its_tables_are_for_people(tmp_path: Path) -> None:
    some_tags().save(tmp_path / "t")
    assert (tmp_path / "t/tags.tsv").read_text().splitlines()[1] == "sunset\t9\tSunset, sunsets"
    assert "x1\t\t" in (tmp_path / "t/merges.tsv").read_text()


@settings(max_examples=20, deadline=None)
@given(words=st.dictionaries(st.text(max_size=8), st.sampled_from([*NAMES, None]), max_size=8))
def test_any_word_survives_the_folder(tmp_path_factory: pytest.TempPathFactory, words: dict) -> None:
    folder = tmp_path_factory.mktemp("tags") / "t"
    Tags(NAMES, np.eye(4, dtype=np.float32), np.ones(4, np.int64), words).save(folder)
    assert Tags.load(folder).merges == words


def test_words_are_found_by_case_accents_separators_number_and_merge() -> None:
    tags = some_tags()
    for word in ("SUNSET", "Súnset", "sunsets", "sun-set"):
        assert tags.lookup(word) == "sunset"
    for word in ("New_York", "newyork", "NEW-YORK", "new  york"):
        assert tags.lookup(word) == "new york"
    assert tags.lookup("cats") == "cat"
    assert tags.lookup("x1") is None
    assert tags.lookup("X1") is None
    assert tags.lookup("dog") is None
    assert tags.lookup("") is None
    assert tags.nearest("sunst") == ["sunset"]


def test_rows_are_sorted_without_repeats_and_unknown_words_are_left_out() -> None:
    indptr, indices = some_tags().rows([["Beach", "SUNSET", "sunset", "dog"], [], ["x1"], ["cats"]])
    assert indptr.dtype == indices.dtype == np.int64
    assert indptr.tolist() == [0, 2, 2, 2, 3]
    assert indices.tolist() == [0, 2, 3]


def test_a_text_is_the_direction_of_the_mean_of_its_unit_vectors() -> None:
    tags = some_tags()
    found = tags.point("a Beach in New York, dogz")
    assert found.known == ("beach", "new york")
    assert found.unknown == ("dogz",)
    unit = tags.vectors / np.linalg.norm(tags.vectors, axis=1, keepdims=True)
    mean = unit[1] + unit[2]
    np.testing.assert_allclose(found.vector, mean / np.linalg.norm(mean), atol=1e-6)
    assert found.vector.dtype == np.float32


def test_a_text_without_a_tag_names_the_nearest() -> None:
    with pytest.raises(PerisphereError, match=r"'sunst' \(nearest: sunset\)"):
        some_tags().point("sunst")
    with pytest.raises(PerisphereError, match="has no word"):
        some_tags().point("the")
    opposite = Tags(("up", "down"), np.array([[1, 0], [-2, 0]]), np.ones(2, np.int64), {})
    with pytest.raises(PerisphereError, match="opposite"):
        opposite.point("up down")


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 99), scale=st.floats(0.1, 50))
def test_a_rotation_or_a_scale_changes_no_neighbour(seed: int, scale: float) -> None:
    draw = np.random.default_rng(seed)
    rotation = np.linalg.qr(draw.standard_normal((6, 6)))[0]
    points, tags = draw.standard_normal((5, 6)), some_tags(seed=seed)
    turned = Tags(NAMES, tags.vectors @ rotation * scale, tags.counts, {})
    rows, cosines = tags.neighbours(points.astype(np.float32), 9)
    again, same = turned.neighbours((points @ rotation).astype(np.float32), 9)
    assert rows.shape == (5, 4)
    np.testing.assert_array_equal(rows, again)
    np.testing.assert_allclose(cosines, same, atol=1e-5)
    assert (np.diff(cosines) <= 0).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"vectors": np.zeros((4, 3))}, "zero or not finite"),
        ({"vectors": np.full((4, 3), np.nan)}, "zero or not finite"),
        ({"vectors": np.ones((3, 3))}, "do not fit vectors"),
        ({"counts": np.ones(3, np.int64)}, "do not fit counts"),
        ({"names": ("a", "a", "b", "c")}, "name of another"),
        ({"merges": {"dog": "dogs"}}, "which is no tag"),
        ({"merges": {"\ud800": None}}, "half a character"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict, says: str) -> None:
    parts = {
        "names": NAMES,
        "vectors": np.ones((4, 3)),
        "counts": np.ones(4, np.int64),
        "merges": {},
    } | change
    with pytest.raises(PerisphereError, match=says):
        Tags(**parts)


class _Runs:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("ran",)


def damage(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "vectors.npy",
            b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1<<50, 300), }",
            "damaged",
        ),
        ("vectors.npy", b"", "damaged"),
        ("tags.tsv", b"tag\tphotos\tmembers\nsunset\tmany\t\n", "no number"),
        ("tags.tsv", b"tag\tphotos\tmembers\nsunset\n", "line 2 has 1 cells"),
        ("tags.tsv", b"tag\tphotos\tmembers\nsunset\t3\t\n", "do not fit"),
        ("merges.tsv", b"w\tt\tr\n\xff\t\t\n", "UTF-8"),
        ("tags.json", b"[" * 10**5, "head"),
        ("tags.json", b"{}", "head"),
        ("tags.json", json.dumps({"kind": "perisphere tags", "version": 9, "about": {}}).encode(), "newer"),
    ],
)
def test_damaged_folders_are_refused(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    some_tags().save(tmp_path / "t")
    damage(tmp_path / "t", name, content)
    with pytest.raises(PerisphereError, match=says):
        Tags.load(tmp_path / "t")


def test_vectors_that_are_a_pickle_run_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    some_tags().save(tmp_path / "t")
    array = np.empty((4, 6), object)
    array[:] = _Runs()
    with (tmp_path / "t/vectors.npy").open("wb") as file:
        np.save(file, array, allow_pickle=True)
    with pytest.raises(PerisphereError, match="Nothing of it was run"):
        Tags.load(tmp_path / "t")
    assert pickle.dumps(_Runs())
    assert not (tmp_path / "ran").exists()


def test_a_fingerprint_is_the_same_in_every_process_and_tells_each_part() -> None:
    parts = {
        "names": ("sea", "cat"),
        "vectors": np.eye(2),
        "counts": [2, 1],
        "merges": {"Sea": "sea", "x": None},
    }
    assert Tags(**parts).fingerprint == FINGERPRINT
    for change in ({"names": ("sea", "dog")}, {"vectors": 2 * np.eye(2)}, {"merges": {"Sea": "sea"}}):
        assert Tags(**parts | change).fingerprint != FINGERPRINT
