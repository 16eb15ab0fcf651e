import pickle
import zipfile

import numpy as np
import pytest

from perisphere.errors import PerisphereError, UsageError
from perisphere.taxonomy import ClassPoints, Taxonomy, embed

PAIRS = [(10, 11), (10, 12), (11, 0), (11, 1), (12, 2), (12, 13), (13, 3), (13, 4)]
NAMES = {0: "car", 1: "lorry", 2: "bird", 3: "cat", 4: "polar bear", 13: "mammal", 11: "vehicle"}


@pytest.fixture
def points():
    return embed(Taxonomy.from_pairs(PAIRS, NAMES))


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_saved_points_come_back_whole(tmp_path, points, suffix):
    path = tmp_path / f"points{suffix}"
    points.save(path)
    again = ClassPoints.load(path)
    np.testing.assert_array_equal(again.points, points.points)
    assert (again.classes, again.method) == (points.classes, "unitsphere")
    assert again.taxonomy.pairs == points.taxonomy.pairs
    assert again.taxonomy.names == NAMES
    assert again.points.dtype == np.float64


def test_text_ids_and_no_taxonomy_come_back_too(tmp_path):
    for number, made in enumerate(
        [
            embed(Taxonomy.from_pairs([("r", "7"), ("r", "a b")])),
            ClassPoints(np.eye(2), ("x", "y"), None, "onehot"),
        ]
    ):
        made.save(tmp_path / f"{number}.npz")
        again = ClassPoints.load(tmp_path / f"{number}.npz")
        assert again.classes == made.classes
        assert (again.taxonomy and again.taxonomy.ids) == (made.taxonomy and made.taxonomy.ids)


def test_rows_by_id_and_by_name(points):
    assert points.rows_of(["3", "cat", "POLAR_BEAR", "car"]).tolist() == [3, 3, 4, 0]
    assert points.rows_of([]).dtype == np.int64
    with pytest.raises(PerisphereError, match=r"2 of 3 labels have no class point: 'cta', 'mammal'.*'cat'"):
        points.rows_of(["cta", "cat", "mammal"])


def test_any_node_is_a_point(points):
    np.testing.assert_array_equal(points.point("cat"), points.points[3])
    both = points.points[3] + points.points[4]
    np.testing.assert_allclose(points.point("mammal"), both / np.linalg.norm(both))
    np.testing.assert_allclose(np.linalg.norm(points.point("10")), 1)
    with pytest.raises(PerisphereError, match=r"'mamal': is not in the taxonomy. Did you mean 'mammal'"):
        points.point("mamal")


def test_an_inner_node_that_is_covered_has_its_exact_point():
    made = embed(Taxonomy.from_pairs(PAIRS, NAMES), [3, 4, 13])
    np.testing.assert_array_equal(made.point("mammal"), made.points[2])
    with pytest.raises(PerisphereError, match="'vehicle': no class below it has a point"):
        made.point("vehicle")


def test_points_without_direction_or_taxonomy():
    made = ClassPoints(np.array([[0.0, 0.0], [3.0, 4.0]]), ("origin", "b"))
    np.testing.assert_allclose(made.point("b"), [0.6, 0.8])
    with pytest.raises(PerisphereError, match="'origin': its point has no direction"):
        made.point("origin")
    with pytest.raises(PerisphereError, match=r"'orig': has no point. Did you mean 'origin'"):
        made.point("orig")


@pytest.mark.parametrize(
    ("points", "classes", "message"),
    [
        (np.zeros((2, 3)), ("a",), "1 classes need as many rows"),
        (np.zeros(2), ("a", "b"), "need as many rows"),
        (np.zeros((0, 3)), (), "need as many rows"),
        (np.array([[np.nan], [1]]), ("a", "b"), "no finite numbers"),
        (np.array([["x"], ["y"]]), ("a", "b"), "no finite numbers"),
        (np.zeros((2, 1)), ("a", "a"), "class 'a' has several rows"),
    ],
)
def test_points_that_are_none(points, classes, message):
    with pytest.raises(PerisphereError, match=message):
        ClassPoints(points, classes)


def test_published_pickles_are_read_without_running_them(tmp_path):
    content = {"embedding": np.eye(3), "ind2label": [5, 6, 7], "label2ind": {5: 0, 6: 1, 7: 2}}
    path = tmp_path / "points.pickle"
    path.write_bytes(pickle.dumps(content, protocol=2))
    read = ClassPoints.load(path)
    assert read.classes == ("5", "6", "7")
    assert (read.taxonomy, read.method) == (None, "published")
    np.testing.assert_array_equal(read.points, np.eye(3))


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_that_wants_to_run_something_does_not(tmp_path):
    path = tmp_path / "points.pkl"
    path.write_bytes(pickle.dumps({"embedding": Bomb(tmp_path / "ran"), "ind2label": [1]}))
    with pytest.raises(PerisphereError, match="Nothing of it was run"):
        ClassPoints.load(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npz", b"PK\x03\x04nothing", "holds no class points"),
        ("a.npz", b"", "holds no class points"),
        ("a.json", b"{}", "holds no class points"),
        ("a.json", b"[1", "holds no class points"),
        ("a.json", b'{"method": "m", "classes": [1], "points": [[1]], "taxonomy": null}', "texts"),
        ("a.json", b'{"method": "m", "classes": ["1"], "points": [[]], "taxonomy": null}', "rows"),
        ("a.pickle", pickle.dumps([1, 2]), "no 'embedding'"),
        ("a.txt", b"1 2", "are .npz, .json or .pickle"),
    ],
)
def test_damaged_files_are_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(PerisphereError, match=message) as caught:
        ClassPoints.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_array_with_a_damaged_header_is_one_line(tmp_path):
    np.save(tmp_path / "record.npy", np.array("{}"))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("record.npy", (tmp_path / "record.npy").read_bytes().replace(b"False", b"F{lse"))
    with pytest.raises(PerisphereError, match="holds no class points"):
        ClassPoints.load(tmp_path / "a.npz")


def test_missing_files_and_wrong_suffixes(tmp_path, points):
    with pytest.raises(PerisphereError, match="cannot be read"):
        ClassPoints.load(tmp_path / "none.npz")
    with pytest.raises(UsageError, match=r"written as \.npz or \.json"):
        points.save(tmp_path / "points.pickle")
    assert not any(tmp_path.iterdir())
