"""Regions of photos in an index: they come whole, go with their photo, and are proved."""

import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from processes import child

from perisphere.errors import PerisphereError
from perisphere.index import Index
from perisphere.index.region_shape import cover_of_box, outline_of, weighted_direction
from perisphere.index.regions import Region

DATA = Path(__file__).parents[1] / "data"
NONE = {"encoder": None, "layer": None, "dim": None}
ABOUT = {"encoder": "e" * 16, "layer": "decoder", "dim": 3}
DIM = 4


def region(concept: str = "portal", score: float = 0.5, box=(1, 2, 11, 22), outline=()) -> Region:
    return Region(concept, score, 0.25, box, outline)


def unit(*numbers: float) -> np.ndarray:
    vector = np.array([numbers], np.float32)
    return vector / np.linalg.norm(vector)


@pytest.fixture
def index(tmp_path):
    with Index.create(tmp_path / "index", DIM) as made:
        made.add(np.eye(6, DIM) + 0.1)
        yield made


def test_regions_are_read_back_as_they_were_written(index):
    outline = (((1, 2), (10, 2), (10, 21)),)
    photos = [(1, [region(outline=outline), region("tower", 0.9)], np.vstack([unit(1, 0, 0), unit(0, 1, 1)]))]
    assert index.regions.put([*photos, (3, [], None)], ["tower", "portal"], ABOUT, 2) == 2
    first, second = index.regions.read()
    assert (first.concept, first.score, first.share, first.box) == ("portal", 0.5, 0.25, (1, 2, 11, 22))
    assert (first.outline, first.image, second.image) == (outline, 1, 1)
    assert index.regions.read([3]) == []
    assert index.ids("regions has 'tower'").tolist() == [1]
    assert index.ids("regions is null").tolist() == [2, 3, 4, 5, 6]
    assert index.verify() == []
    assert index.info()["regions"] == {
        "regions": 2,
        "photos": 2,
        "vectors": 2,
        "concepts": {"tower": 1, "portal": 1},
        **ABOUT,
    }


def test_regions_replace_those_of_their_photo_alone(index):
    index.regions.put([(1, [region()], None), (2, [region()], None)], ["portal"], NONE, 2)
    index.regions.put([(2, [region("choir"), region("nave", 0.9)], None)], ["choir", "nave"], NONE, 1)
    assert [(r.image, r.concept) for r in index.regions.read()] == [(1, "portal"), (2, "choir"), (2, "nave")]
    assert index.rows([2]).height == 1
    assert index.regions.about()["concepts"] == ["portal", "choir", "nave"]
    assert index.verify() == []


def test_regions_go_with_their_photo(index):
    index.regions.put([(id_, [region()], None) for id_ in range(1, 7)], ["portal"], NONE, 6)
    index.remove([2, 3])
    assert [r.image for r in index.regions.read()] == [1, 4, 5, 6]
    index.compact()
    assert (index.verify(), index.info()["regions"]["regions"]) == ([], 4)


def test_a_filter_that_was_asked_before_sees_new_regions(index):
    query = np.ones(DIM)
    assert index.search(query, 9, where="regions has 'portal'").ids[0].tolist() in ([], [-1] * 6)
    index.regions.put([(4, [region()], None)], ["portal"], NONE, 1)
    found = index.search(query, 9, where="regions has 'portal'").ids[0]
    assert found[found > 0].tolist() == [4]


def test_a_failure_half_way_changes_nothing(index):
    index.regions.put([(1, [region()], None)], ["portal"], NONE, 1)

    def failing():
        yield 1, [region("choir")], None
        yield 2, [region("choir")], None
        raise PerisphereError("no more")

    with pytest.raises(PerisphereError, match="no more"):
        index.regions.put(failing(), ["choir"], NONE, 3)
    with pytest.raises(PerisphereError, match=r"not finite|NaN"):
        index.regions.put([(2, [region()], np.full((1, 3), np.nan, np.float32))], [], ABOUT, 1)
    assert [(r.image, r.concept) for r in index.regions.read()] == [(1, "portal")]
    assert index.regions.about() == {"concepts": ["portal"], **NONE}
    assert index.verify() == []


def test_vectors_of_two_encoders_do_not_stand_side_by_side(index):
    index.regions.put([(1, [region()], unit(1, 0, 0)), (2, [region()], unit(0, 1, 0))], ["portal"], ABOUT, 2)
    other = {**ABOUT, "encoder": "f" * 16, "dim": 2}
    with pytest.raises(PerisphereError, match="1 photos keep regions with vectors of another encoder"):
        index.regions.put([(2, [region()], unit(0, 1))], ["portal"], other, 1)
    assert index.regions.about()["encoder"] == "e" * 16
    index.regions.put([(2, [region()], None)], ["portal"], NONE, 1)
    assert index.regions.about()["encoder"] == "e" * 16  # photos without vectors change no space
    index.regions.put([(id_, [region()], unit(0, 1)) for id_ in (1, 2)], ["portal"], other, 2)
    assert index.regions.about()["dim"] == 2
    assert index.verify() == []


def test_the_nearest_regions_each_photo_once(index):
    rows = {1: [(1, 0, 0), (0.9, 0.1, 0)], 2: [(0, 1, 0)], 5: [(0.8, 0.6, 0), (0, 0, 1)]}
    photos = [
        (id_, [region(str(place)) for place in range(len(vectors))], np.vstack([unit(*v) for v in vectors]))
        for id_, vectors in rows.items()
    ]
    index.regions.put(photos, ["portal"], ABOUT, 3)
    (hits,) = index.regions.nearest(unit(1, 0, 0), 5)
    assert [(hit.image, hit.concept) for hit, _ in hits] == [(1, "0"), (5, "0"), (2, "0")]
    np.testing.assert_allclose([score for _, score in hits], [1, 0.8, 0], atol=1e-6)
    (few,) = index.regions.nearest(unit(1, 0, 0), 1, ("id > ?", (1,)))
    assert [hit.image for hit, _ in few] == [5]
    (others,) = index.regions.nearest(unit(1, 0, 0), 5, None, [{1, 2}])
    assert [hit.image for hit, _ in others] == [5]
    index.remove([1])
    assert [hit.image for hit, _ in index.regions.nearest(unit(1, 0, 0), 5)[0]] == [5, 2]
    with pytest.raises(PerisphereError):
        index.regions.nearest(unit(1, 0), 5)


def test_without_vectors_the_mend_is_told(index):
    index.regions.put([(1, [region()], None)], ["portal"], NONE, 1)
    with pytest.raises(PerisphereError, match=r"keeps no vectors of regions.*index regions"):
        index.regions.nearest(unit(1, 0, 0), 5)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("UPDATE regions SET score = 0.6 WHERE id = 1", "region 1 of id 1: the checksum does not match"),
        ("UPDATE regions SET vector = zeroblob(12) WHERE id = 1", "region 1 of id 1: the checksum"),
        ("DELETE FROM regions WHERE id = 1", "the regions of id 1 are not those that its row names"),
        ("UPDATE images SET regions = '[]' WHERE id = 1", "the regions of id 1 are not those"),
    ],
)
def test_damage_is_found(index, damage, problem):
    index.regions.put([(1, [region()], unit(1, 0, 0))], ["portal"], ABOUT, 1)
    index._store._writer.execute(damage)
    assert [line.startswith(problem) for line in index.verify()] == [True]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_index_of_before_regions_gets_them(tmp_path, version):
    shutil.copytree(DATA / f"index-v{version}", tmp_path / "index")
    with Index.open(tmp_path / "index") as index:
        assert (index.regions.read(), index.regions.about(), index.info()["regions"]) == ([], None, None)
        with pytest.raises(PerisphereError, match=r"before indexes kept regions.*index regions"):
            index.ids("regions has 'portal'")
        index.regions.put([(1, [region()], None)], ["portal"], NONE, 1)
        assert (index.info()["format"], index.verify()) == (4, [])
        assert index.ids("regions has 'portal'").tolist() == [1]
        assert index.ids("concepts has 'sky'").tolist() == ([] if version < 3 else [1, 2, 4, 5, 7, 8, 10, 11])
        index.remove([1])
        assert (index.regions.read(), index.verify()) == ([], [])


def test_an_index_with_regions_of_an_older_version_goes_on(tmp_path):
    shutil.copytree(DATA / "index-v4", tmp_path / "index")
    with Index.open(tmp_path / "index") as index:
        assert index.ids("regions has 'window'").tolist() == [2, 4, 6]
        assert index.info()["regions"]["concepts"] == {"window": 3, "portal": 5}
        first = index.regions.read([1])[0]
        assert (first.concept, first.score, first.box) == ("portal", 0.125, (1, 2, 31, 41))
        assert first.outline == (((1, 2), (30, 2), (30, 40), (1, 40)),)
        (hits,) = index.regions.nearest(index.vectors([5])[1], 2)
        assert (hits[0][0].image, round(hits[0][1], 5)) == (5, 1.0)
        assert index.matches([["dome"], ["old"]])[0].keys() == {1, 5, 9}
        index.remove([5])
        assert [r.image for r in index.regions.read()] == [1, 2, 2, 4, 4, 6, 6]
        assert index.verify() == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_a_killed_writer_leaves_the_regions_of_one_moment(tmp_path):
    with Index.create(tmp_path / "index", DIM) as index:
        index.add(np.eye(20, DIM) + 0.1)

    def change(say):
        with Index.open(tmp_path / "index") as index:
            say("ready")
            for number in range(10_000):
                concept = str(number)
                photos = [(id_, [region(concept)], None) for id_ in range(1, 21)]
                index.regions.put(photos, [concept], NONE, 20)
                say(concept)

    moments, written = random.Random(0), 0
    for _ in range(8):
        with child(change) as (pid, said):
            assert said.readline() == "ready\n"
            said.readline()
            time.sleep(moments.random() * 0.02)
            os.kill(pid, signal.SIGKILL)
            written += 1 + len(list(said))
        with Index.open(tmp_path / "index") as index:
            assert index.verify() == []
            assert len({r.concept for r in index.regions.read()}) == 1
            assert len(index.regions.read()) == 20
    assert written >= 8


def test_an_outline_goes_around_the_larger_pieces():
    mask = np.zeros((60, 80), bool)
    mask[10:40, 20:60] = True
    mask[50:58, 2:12] = True
    mask[0, 79] = True
    large, small = outline_of(mask)
    assert set(large) == {(20, 10), (59, 10), (59, 39), (20, 39)}
    assert set(small) == {(2, 50), (11, 50), (11, 57), (2, 57)}
    assert outline_of(np.zeros((4, 4), bool)) == ()
    assert outline_of(np.eye(4, dtype=bool) & False) == ()


def test_a_box_covers_cells_in_part():
    cover = cover_of_box((10, 0, 30, 15), (40, 40), (4, 4))
    np.testing.assert_allclose(cover[0], [0, 1, 1, 0])
    np.testing.assert_allclose(cover[1], [0, 0.5, 0.5, 0])
    assert cover.sum() == pytest.approx(3)


def test_a_mean_direction_is_of_length_one_or_none():
    features = np.zeros((2, 1, 3), np.float32)
    features[0, 0, 0] = features[1, 0, 1] = 1
    weights = np.array([[1, 1, 5]], np.float32)
    np.testing.assert_allclose(weighted_direction(features, weights), np.sqrt([0.5, 0.5]), atol=1e-6)
    assert weighted_direction(features, np.zeros((1, 3), np.float32)) is None
