import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perisphere.catalog.ground_truth import GroundTruth, read_ground_truth, stem
from perisphere.errors import PerisphereError

REVISITED = {
    "imlist": ["all_souls_000001", "all_souls_000002", "radcliffe_000007", "oxford_000009"],
    "qimlist": ["all_souls_000013", "radcliffe_000001"],
    "gnd": [
        {"bbx": [136.5, 34.1, 648.5, 955.7], "easy": [0], "hard": [1], "junk": [3]},
        {"bbx": [0, 1, 2, 3], "easy": [], "hard": [2], "junk": []},
    ],
}


def as_arrays(value: dict[str, Any]) -> dict[str, Any]:
    return value | {"gnd": [{key: np.array(item) for key, item in entry.items()} for entry in value["gnd"]]}


def as_pickle(folder: Path, value: Any) -> Path:
    (folder / "gnd_test.pkl").write_bytes(pickle.dumps(value, 2))
    return folder / "gnd_test.pkl"


def as_json(folder: Path, value: Any) -> Path:
    (folder / "gnd_test.json").write_text(json.dumps(value))
    return folder / "gnd_test.json"


WRITERS = [as_pickle, as_json, lambda folder, value: as_pickle(folder, as_arrays(value))]


@pytest.mark.parametrize("write", WRITERS)
def test_revisited_in_its_forms(write: Callable[[Path, Any], Path], tmp_path: Path) -> None:
    found = read_ground_truth(write(tmp_path, REVISITED))
    assert found == GroundTruth(
        "revisited",
        ("all_souls_000013", "radcliffe_000001"),
        ("all_souls_000001", "all_souls_000002", "radcliffe_000007", "oxford_000009"),
        (
            {"easy": ("all_souls_000001",), "hard": ("all_souls_000002",), "junk": ("oxford_000009",)},
            {"easy": (), "hard": ("radcliffe_000007",), "junk": ()},
        ),
        ((136.5, 34.1, 648.5, 955.7), (0, 1, 2, 3)),
    )
    assert len(found) == 2


@pytest.mark.parametrize("write", [as_pickle, as_json])
def test_classic_dict_may_lack_junk_and_box(write: Callable[[Path, Any], Path], tmp_path: Path) -> None:
    found = read_ground_truth(write(tmp_path, REVISITED | {"gnd": [{"ok": [0, 3]}, {"ok": [], "junk": [1]}]}))
    assert found.kind == "classic"
    assert found.lists[0] == {"ok": ("all_souls_000001", "oxford_000009"), "junk": ()}
    assert found.lists[1] == {"ok": (), "junk": ("all_souls_000002",)}
    assert found.boxes == (None, None)


def write_classic(folder: Path, query: str = "oxc1_all_souls_000013 136.5 34.1 648.5 955.7\n") -> Path:
    folder.mkdir(exist_ok=True)
    lists = {"good": "all_souls_000013\nall_souls_000026\n", "ok": "all_souls_000051\r\n", "junk": ""}
    for part, text in (lists | {"query": query}).items():
        (folder / f"all_souls_1_{part}.txt").write_bytes(text.encode())
    return folder


def test_classic_text_files(tmp_path: Path) -> None:
    assert read_ground_truth(write_classic(tmp_path / "gt")) == GroundTruth(
        "classic",
        ("all_souls_000013",),
        None,
        ({"ok": ("all_souls_000013", "all_souls_000026", "all_souls_000051"), "junk": ()},),
        ((136.5, 34.1, 648.5, 955.7),),
    )


def test_paris_names_its_query_photos_plainly(tmp_path: Path) -> None:
    found = read_ground_truth(write_classic(tmp_path / "gt", "paris_defense_000605 0.0 1.0 2.5 9.0"))
    assert found.queries == ("paris_defense_000605",)


def test_a_missing_text_file_is_named(tmp_path: Path) -> None:
    (write_classic(tmp_path / "gt") / "all_souls_1_junk.txt").unlink()
    with pytest.raises(PerisphereError, match=r"all_souls_1_junk\.txt: cannot be read"):
        read_ground_truth(tmp_path / "gt")


SOLUTION = "id,images,Usage\nq1,aaa bbb,Private\nq2,None,Ignored\nq3,ccc,Public\n"


def test_landmarks_v2_leaves_out_what_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "retrieval_solution_v2.1.csv").write_text(SOLUTION)
    found = read_ground_truth(tmp_path / "retrieval_solution_v2.1.csv")
    assert (found.kind, found.queries, found.gallery) == ("gldv2", ("q1", "q3"), None)
    assert found.lists == ({"ok": ("aaa", "bbb")}, {"ok": ("ccc",)})


def entry(**change: Any) -> dict[str, Any]:
    return REVISITED | {"gnd": [REVISITED["gnd"][0] | change, REVISITED["gnd"][1]]}


WITHOUT_HARD = {key: value for key, value in REVISITED["gnd"][0].items() if key != "hard"}


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ([], "must hold imlist, qimlist and gnd"),
        ({"imlist": []}, "must hold imlist, qimlist and gnd"),
        (REVISITED | {"gnd": REVISITED["gnd"][:1]}, "an entry for each of the 2"),
        (REVISITED | {"gnd": [1, 2]}, "no dict of lists"),
        (REVISITED | {"qimlist": [], "gnd": []}, "gnd is empty"),
        (REVISITED | {"imlist": "abc"}, "imlist is no list of names"),
        (REVISITED | {"qimlist": [1, 2]}, "qimlist is no list of names"),
        (REVISITED | {"imlist": ["x", "a", "jpg/a.jpg"]}, "names 'a' twice"),
        (entry(easy=[4]), "query 'all_souls_000013': easy has 4; imlist has indices from 0 to 3"),
        (entry(junk=[-1]), "junk has -1"),
        (entry(hard=[1.5]), r"hard has 1\.5"),
        (entry(hard=[True]), "hard has True"),
        (entry(hard=7), "hard is no list"),
        (entry(bbx=[1, 2, 3]), "is not four numbers"),
        (entry(bbx=[1, 2, "x", 4]), "is not four numbers"),
        (entry(bbx=[5, 2, 5, 4]), "has no area"),
        (REVISITED | {"gnd": [WITHOUT_HARD, REVISITED["gnd"][1]]}, "the list 'hard' is missing"),
    ],
)
@pytest.mark.parametrize("write", [as_pickle, as_json])
def test_contradictions_name_the_file_and_the_place(
    write: Callable[[Path, Any], Path], value: Any, complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(PerisphereError, match=complaint) as error:
        read_ground_truth(write(tmp_path, value))
    assert "gnd_test" in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.json", "{", "not JSON"),
        ("a.json", "[" * 100_000, "not JSON"),
        ("a.csv", "id,images\nx,y\n", "no column 'Usage'"),
        ("a.csv", "id,images,Usage\nx,,Public\n", "line 2: no id or no images"),
        ("a.csv", "id,images,Usage\nx,None,Ignored\n", "no query counts"),
        ("a.txt", "", "a .pkl, .json or .csv file"),
        ("gt/x_1_query.txt", "name 1 2 3", "line 1 must be"),
        ("gt/x_1_query.txt", "name 1 2 3 nan", "has no area"),
        ("gt/x_1_good.txt", "name", "no file is named QUERY_query.txt"),
    ],
)
def test_damaged_files_are_named(name: str, text: str, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    with pytest.raises(PerisphereError, match=complaint):
        read_ground_truth(file.parent if name.startswith("gt/") else file)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PerisphereError, match="no such file or folder of ground truth"):
        read_ground_truth(tmp_path / "gnd.pkl")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("jpg/a_1.jpg", "a_1"), ("a_1", "a_1"), ("a.b.JPEG", "a.b"), ("v1.2", "v1.2"), ("x\\y.png", "y")],
)
def test_stem(name: str, expected: str) -> None:
    assert stem(name) == expected
