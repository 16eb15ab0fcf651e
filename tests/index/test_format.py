import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from perisphere.errors import PerisphereError
from perisphere.index import Index
from perisphere.index.store import FORMAT

DATA = Path(__file__).parents[1] / "data"


def test_every_format_has_a_folder():
    assert {path.name for path in DATA.glob("index-v*")} == {f"index-v{n}" for n in range(1, FORMAT + 1)}


@pytest.mark.parametrize("version", range(1, FORMAT + 1))
def test_an_index_of_an_older_version_opens(tmp_path, version):
    shutil.copytree(DATA / f"index-v{version}", tmp_path / "index")
    with Index.open(tmp_path / "index") as index:
        assert index.verify() == []
        ids, vectors = index.vectors()
        assert ids.tolist() == [1, 2, *range(4, 13)]
        first = np.cos(np.arange(1, 5) / 7)
        np.testing.assert_allclose(vectors[1], first / np.linalg.norm(first), atol=1e-6)
        row = index.rows([4]).row(0, named=True)
        assert (row["path"], row["label"], row["root"]) == ("photo 3.jpg", "arch, or gate", "/photos")
        assert (row["categories"], row["width"], row["url"]) == (["building", "church"], 640, None)
        assert index.search(first, 1).ids.tolist() == [[2]]
        assert index.ids("label == 'dome' and tags has 'old'").tolist() == [1, 5, 9]
        assert index.info()["encoder"]["identity"] == "0123456789abcdef"
        assert index.add(vectors[:1]).tolist() == [13]
        assert index.compact() == 1
        assert index.verify() == []


@pytest.mark.parametrize("version", [1, 2])
def test_an_index_of_before_concepts_gets_them_with_the_first_images_that_come(tmp_path, version):
    shutil.copytree(DATA / f"index-v{version}", tmp_path / "index")
    with Index.open(tmp_path / "index") as index:
        assert index.info()["format"] == version
        assert index.rows()["concepts"].null_count() == 11
        with pytest.raises(PerisphereError, match="before indexes kept concepts: add images"):
            index.ids("concepts has 'sky'")
        index.add(index.vectors([1])[1], pl.DataFrame({"concepts": [["sky", "sea"]]}))
        assert index.info()["format"] == 3
        assert index.ids("concepts has 'sky'").tolist() == [13]
        assert index.rows([13])["concepts"].to_list() == [["sky", "sea"]]
        assert index.verify() == []


def test_concepts_come_back_and_filter(tmp_path):
    shutil.copytree(DATA / "index-v3", tmp_path / "index")
    with Index.open(tmp_path / "index") as index:
        assert index.rows([1, 2])["concepts"].to_list() == [["sky", "stone"], ["sky"]]
        assert index.ids("concepts has 'stone'").tolist() == [1, 4, 7, 10]
        assert index.ids("concepts is null").tolist() == [6, 9, 12]


@pytest.mark.parametrize("version", [2, 3, 4])
def test_an_index_with_centroids_of_an_older_version_goes_on(tmp_path, version):
    shutil.copytree(DATA / f"index-v{version}", tmp_path / "index")
    with Index.open(tmp_path / "index") as index:
        assert index.centroids_kept == "beside"
        found = index.centroids()
        assert (found.labels, found.counts.tolist()) == (("dome", "tower", "arch, or gate"), [3, 3, 3])
        ids, vectors = index.vectors()
        dome = vectors[np.isin(ids, index.ids("label == 'dome'"))].mean(0)
        np.testing.assert_allclose(found.points[0], dome / np.linalg.norm(dome), atol=1e-6)
        index.remove([1])
        assert index.centroids().counts.tolist() == [2, 3, 3]
        assert index.verify() == []


def test_an_index_with_codes_of_an_older_version_goes_on(tmp_path):
    shutil.copytree(DATA / "index-v3", tmp_path / "index")
    with Index.open(tmp_path / "index") as index:
        assert (index.codes_kept, index.codebooks.kind, index.codebooks.books) == ("beside", "additive", 2)
        found = index.search(np.array([1, 0.4, 0, 0]), 3, shortlist=0)
        assert found.road == "codes of 16 bits"
        decoded = index.codebooks.decode(index.codebooks.encode(index.vectors()[1]))
        query = np.array([1, 0.4, 0, 0]) / np.hypot(1, 0.4)
        order = np.argsort(-(decoded @ query).round(6), kind="stable")[:3]
        assert found.ids[0].tolist() == index.ids()[order].tolist()
        np.testing.assert_allclose(found.scores[0], (decoded @ query)[order], atol=1e-6)
        index.remove([1])
        assert index.add(index.vectors([2])[1]).tolist() == [13]
        assert index.compact() == 2
        assert index.verify() == []


@pytest.mark.parametrize("version", range(1, FORMAT + 1))
def test_words_of_photos_that_come_to_an_older_version_are_found(tmp_path, version):
    shutil.copytree(DATA / f"index-v{version}", tmp_path / "index")
    with Index.open(tmp_path / "index") as index:
        index.add(index.vectors([1])[1], pl.DataFrame({"caption": ["a slim minaret"]}))
        assert list(index.matches([["minaret"]])[0]) == [13]
        index.remove([13])
        assert index.matches([["minaret"]]) == [{}]
        assert index.verify() == []
