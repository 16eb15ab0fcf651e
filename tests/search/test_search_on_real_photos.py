"""Real photos: the same photo saved twice is found as such, and calibration orders what it should."""

import tarfile
from pathlib import Path

import polars as pl
import pytest
from asking import ask
from coloured import pixels

from perisphere.index import Index

PLACES = ("piazza_san_marco", "st_pauls_cathedral", "sacre_coeur", "berlin")
SAME = ["piazza_san_marco/aliked_2.jpg", "piazza_san_marco/piazza_san_marco_18627786_5929294590.jpg"]


@pytest.fixture(scope="module")
def folder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("places")
    with tarfile.open(shared / "data" / "places" / "places-640px.tar") as archive:
        members = [member for member in archive if member.name.removeprefix("./").startswith(PLACES)]
        archive.extractall(root, members, filter="data")
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
    table = pl.DataFrame({"path": paths, "label": [path.split("/")[0] for path in paths]})
    encoder = pixels(16)
    with Index.create(root / "index", encoder=encoder) as index:
        index.add(encoder.encode([root / path for path in paths]), table, root=root)
    return root


def test_the_photo_that_is_there_twice(folder: Path) -> None:
    with Index.open(folder / "index") as index:
        found = index.duplicates(0.98)
        assert [sorted(index.rows(group)["path"]) for group in found.groups()] == [SAME]
        known = index.rows(found.first)["id"].to_list() + index.rows(found.second)["id"].to_list()
        new = pixels(16).encode([folder / SAME[0]])[0]
        assert sorted(identity for identity, _ in index.near(new)) == sorted(known)
        answer = ask(index, [folder / SAME[0]], 1, exclude_self=True).answers[0]
        assert (answer.results[0].path, answer.label) == (SAME[1], "piazza_san_marco")


def test_copies_tell_a_duplicate_from_a_neighbour(folder: Path) -> None:
    with Index.open(folder / "index") as index:
        calibration = index.calibrate(source="copies")
        answer = ask(index, [folder / SAME[0]], 2, exclude_self=True).answers[0]
    copy, neighbour = (result.precision for result in answer.results)
    assert calibration.source == "copies"
    assert copy is not None
    assert neighbour is not None
    assert copy > 0.9
    assert neighbour < copy
