import pickle
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from perisphere.errors import PerisphereError
from perisphere.foreign.column_names import read_names
from perisphere.tags.published import read_published

WORDS = [("sky", 845), ("skies", 60), ("newyork", 90), ("nikon", 300), ("cloud", 100), ("clouds", 201)]
VECTORS = np.array([[1.0, 0, 2], [0.5, -1, 0], [0, 0, 3]])
MERGED = {0: [0, 1], "NewYork": [2], 7: np.array([4, 5]), -1: [3]}


def folder(root: Path, *, counts: bool = True, photos: bool = True, name: str = "common_tags.txt") -> Path:
    (root / "tags").mkdir(parents=True)
    (root / name).write_text("".join(f"{word} {count}\n" if counts else f"{word}\n" for word, count in WORDS))
    np.savetxt(root / "tags/FinalTagEmbs.txt", VECTORS)
    (root / "tags/TagIdMergeMap.pkl").write_bytes(pickle.dumps(MERGED))
    if photos:
        rows = np.array([[1, 1, 0, 0, 0, 0], [0, 1, 0, 1, 1, 0], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 1, 1]])
        np.savetxt(root / "train_tag.txt", rows, fmt="%d")
    return root


@pytest.mark.parametrize("name", ["common_tags.txt", "TagList1k.txt"])
def test_published_tags_are_read_in_the_order_of_their_rows(tmp_path: Path, name: str) -> None:
    tags = read_published(folder(tmp_path / "flickr25k", name=name))
    assert tags.names == ("sky", "newyork", "clouds")
    np.testing.assert_allclose(tags.vectors, VECTORS)
    assert tags.counts.tolist() == [2, 0, 2]
    assert tags.merges == {
        "sky": "sky",
        "skies": "sky",
        "newyork": "newyork",
        "nikon": None,
        "cloud": "clouds",
        "clouds": "clouds",
    }
    assert tags.reasons == {
        "skies": "merged as published",
        "cloud": "merged as published",
        "nikon": "dropped as published",
    }
    indptr, indices = tags.rows([["cloud", "clouds", "nikon"], ["skies"]])
    assert (indptr.tolist(), indices.tolist()) == ([0, 1, 2], [2, 0])


def test_without_photos_the_list_counts_and_without_counts_nobody(tmp_path: Path) -> None:
    assert read_published(folder(tmp_path / "a", photos=False)).counts.tolist() == [845, 90, 201]
    assert read_published(folder(tmp_path / "b", photos=False, counts=False)).counts.tolist() == [0, 0, 0]


def test_raw_tags_are_called_as_the_readers_call_them(tmp_path: Path) -> None:
    root = folder(tmp_path / "f", photos=False)
    words = "café\nnew york\nnewyork\nnikon\nroute 66\ncloud\n"
    (root / "common_tags.txt").write_bytes(words.encode("latin-1"))
    tags = read_published(root)
    assert list(tags.merges) == read_names(root / "common_tags.txt")
    assert tags.merges["new york"] == "cafe"
    assert tags.merges["route 66"] == "route 66"


def test_a_default_dict_with_numpy_numbers_is_read_too(tmp_path: Path) -> None:
    root, groups = folder(tmp_path / "f"), defaultdict(list)
    for key, columns in MERGED.items():
        groups[np.int64(key) if isinstance(key, int) else key] += [np.int64(column) for column in columns]
    (root / "tags/TagIdMergeMap.pkl").write_bytes(pickle.dumps(groups, 2))
    assert read_published(root).names == ("sky", "newyork", "clouds")


class _Runs:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.mkdir, (self.path,)


def test_a_map_that_wants_to_run_code_runs_nothing(tmp_path: Path) -> None:
    root = folder(tmp_path / "f")
    (root / "tags/TagIdMergeMap.pkl").write_bytes(pickle.dumps({0: _Runs(tmp_path / "ran")}))
    with pytest.raises(PerisphereError, match="Nothing of it was run"):
        read_published(root)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("tags/TagIdMergeMap.pkl", pickle.dumps([1]), "no dict"),
        ("tags/TagIdMergeMap.pkl", pickle.dumps({-1: [0]}), "no dict"),
        ("tags/TagIdMergeMap.pkl", pickle.dumps({0: [0], 1: [99], 2: [1]}), "beyond the 6"),
        ("tags/TagIdMergeMap.pkl", pickle.dumps({0: [0], 1: [], 2: [1]}), "beyond the 6"),
        ("tags/TagIdMergeMap.pkl", pickle.dumps({0: "sky", 1: [1], 2: [2]}), "no list of columns"),
        ("tags/TagIdMergeMap.pkl", pickle.dumps({0: [0], 1: [1]}), "more rows"),
        ("tags/TagIdMergeMap.pkl", b"", "TagIdMergeMap.pkl"),
        ("tags/FinalTagEmbs.txt", b"1 2\n1 x\n", "line 2 is no row"),
        ("tags/FinalTagEmbs.txt", b"1 2\n1 2 3\n", "line 2 has 3"),
        ("tags/FinalTagEmbs.txt", b"1 2\n3 4\n", "has 2 rows"),
        ("tags/FinalTagEmbs.txt", b"1 2\n3 4\n0 0\n", "zero or not finite"),
        ("tags/FinalTagEmbs.txt", b"1 2\n3 4\nnan 0\n", "zero or not finite"),
        ("train_tag.txt", b"1 0 0\n", "line 1 has 3 numbers"),
        ("train_tag.txt", b"1 0 0 1 0 2\n", "something else than 0 and 1"),
        ("common_tags.txt", b"\n", "names no tags"),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_the_file(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    root = folder(tmp_path / "f")
    (root / name).write_bytes(content)
    with pytest.raises(PerisphereError, match=says):
        read_published(root)


def test_missing_files_are_named(tmp_path: Path) -> None:
    root = folder(tmp_path / "f")
    (root / "common_tags.txt").unlink()
    with pytest.raises(PerisphereError, match=r"common_tags\.txt nor TagList1k\.txt"):
        read_published(root)
    (root / "TagList1k.txt").write_text("a\nb\nc\nd\ne\nf\n")
    (root / "tags/FinalTagEmbs.txt").unlink()
    with pytest.raises(PerisphereError, match="FinalTagEmbs"):
        read_published(root)
