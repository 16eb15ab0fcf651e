"""Photos of places and the points that their matches make."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from photos import write_photo

from perisphere.catalog.readers import correspondences, read
from perisphere.catalog.readers.linked_points import linked_points
from perisphere.errors import PerisphereError

HEAD = "image1,image2,x1,y1,x2,y2,error\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(["p/a.jpg", "p/b.jpg", "p/c.jpg", "q/r/d.jpg", "e.jpg"]):
        write_photo(tmp_path / name, number, 40, 30)
    return tmp_path


def write(root: Path, *lines: str) -> None:
    (root / "correspondences.csv").write_text(HEAD + "".join(f"{line}\n" for line in lines))


def test_places_and_points(root: Path) -> None:
    write(
        root,
        "p/a.jpg,p/b.jpg,1.2,2,3,4,0.1",
        "p/b.jpg,p/c.jpg,3.4,3.9,5,6,0.1",  # the same pixel of b
        "p/a.jpg,p/b.jpg,1.2,2,3,4,0.1",
        "p/a.jpg,q/r/d.jpg,39,29,0,0,0",
    )
    found = read("correspondences", root, strict=True)
    assert found.table.select("path", "label").rows() == [
        ("e.jpg", None), ("p/a.jpg", "p"), ("p/b.jpg", "p"), ("p/c.jpg", "p"), ("q/r/d.jpg", "q/r"),
    ]  # fmt: skip
    assert found.table["categories"].to_list()[4] == ["q", "r"]
    assert found.keypoints is not None
    first = found.keypoints.filter(pl.col("point") == 0)
    assert first["image"].to_list() == [1, 2, 3]
    assert first["x"].to_list() == pytest.approx([1.7, 3.5, 5.5])
    assert first["y"].to_list() == pytest.approx([2.5, 4.5, 6.5])
    assert found.keypoints.filter(pl.col("point") == 1).select("image", "x", "y").rows() == [
        (1, 39.5, 29.5),
        (4, 0.5, 0.5),
    ]
    assert found.keypoints.height == 5


def test_a_match_against_those_before_is_left_out(root: Path) -> None:
    write(root, "p/a.jpg,p/b.jpg,1,1,1,1,0", "p/b.jpg,p/c.jpg,1,1,1,1,0", "p/c.jpg,p/a.jpg,1,1,9,9,0")
    found = read("correspondences", root)
    assert found.source["remarks"] == {correspondences.CONFLICT: ["p/c.jpg p/a.jpg"]}
    assert found.keypoints is not None
    assert found.keypoints.select("image", "point").rows() == [(1, 0), (2, 0), (3, 0)]


def test_bad_matches_are_counted_and_named(root: Path) -> None:
    write(
        root,
        "p/a.jpg,p/z.jpg,1,1,1,1,0",
        "p/a.jpg,p/a.jpg,1,1,2,2,0",
        "p/a.jpg,p/b.jpg,40,1,1,1,0",
        "p/a.jpg,p/b.jpg,one,1,1,1,0",
        "p/a.jpg,p/b.jpg,nan,1,1,1,0",
    )
    found = read("correspondences", root)
    assert found.keypoints is not None
    assert found.keypoints.height == 0
    reasons = [(item.path, item.reason) for item in found.skipped if ":" in item.path]
    outside = "match that lies outside a photo, or is no number"
    assert reasons == [
        ("correspondences.csv:2", "match of a photo that is not there"),
        ("correspondences.csv:3", "match of a photo with itself"),
        *((f"correspondences.csv:{line}", outside) for line in (4, 5, 6)),
    ]
    with pytest.raises(PerisphereError, match=r"correspondences.csv:2: match of a photo that is not there"):
        read("correspondences", root, strict=True)


@pytest.mark.parametrize("text", ["", "image1,image2\na,b\n", HEAD + '"\n', "\x00\xff"])
def test_files_of_another_form(root: Path, text: str) -> None:
    (root / "correspondences.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(PerisphereError, match=r"correspondences.csv: no table with columns image1"):
        read("correspondences", root)


def test_without_the_file(root: Path) -> None:
    with pytest.raises(PerisphereError, match="no such file of matches"):
        read("correspondences", root)


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=30))
def test_points_never_stand_twice_in_a_photo(links: list[tuple[int, int]]) -> None:
    image = np.arange(12) % 4  # three places in each of four photos
    pairs = np.array([link for link in links if image[link[0]] != image[link[1]]], np.int64).reshape(-1, 2)
    points, refused = linked_points(pairs, image)
    for point in set(points[points >= 0].tolist()):
        assert np.bincount(image[points == point]).max() == 1
    kept = pairs[~refused]
    assert (points[kept[:, 0]] == points[kept[:, 1]]).all()
    assert set(np.flatnonzero(points >= 0).tolist()) == set(kept.ravel().tolist())


def test_real_places(shared: Path, tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(shared / "data/places/places-640px.tar") as packed:
        names = [name for name in packed.getnames() if name.startswith("fountain-P11/")]
        packed.extractall(tmp_path, [*map(packed.getmember, [*names, "correspondences.csv"])], filter="data")
    found = read("correspondences", tmp_path)
    assert found.table["label"].unique().to_list() == ["fountain-P11"]
    assert len(found) == 11
    assert found.keypoints is not None
    doubled = found.keypoints.select(pl.struct("image", "point").is_duplicated().any()).item()
    assert not doubled
    assert found.keypoints.height > 2000
