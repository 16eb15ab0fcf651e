"""Whatever happens to a folder, the plan leaves the index with exactly what the folder holds."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perisphere.catalog.readers.folders import place as named
from perisphere.index.kept_files import Content, Filed, Place
from perisphere.index.sync_plan import compare

PATHS = [f"{folder}{name}.png" for folder in ("", "dome/", "tower/", "train/dome/") for name in "abc"]
folders = st.dictionaries(st.sampled_from(PATHS), st.integers(0, 4), max_size=len(PATHS))
notes = st.booleans()


def content(bytes_: int, changed: int = 0) -> Content:
    return Content(100 + bytes_, changed, bytes([bytes_]) * 32)


def place(path: str) -> Place:
    split, categories = named(path)
    return Place(split, categories[-1] if categories else None, categories)


def rows_of(folder: dict[str, int], noted: bool = True) -> dict[str, list[Filed]]:
    return {
        path: [Filed(id_, "/photos", path, place(path), content(bytes_) if noted else None)]
        for id_, (path, bytes_) in enumerate(folder.items(), start=1)
    }


def carried_out(known: dict[str, list[Filed]], plan) -> dict[int, tuple[str, Place]]:
    """Id, path and place of each row afterwards; new ones have negative ids."""
    rows = {row.id: (path, row.place) for path, held in known.items() for row in held}
    for move in [*(move for move, _ in plan.moves), *plan.relabelled]:
        rows[move.id] = (move.path, move.place)
    for fresh in plan.fresh:
        for row in fresh.succeeds:
            del rows[row.id]
    for row, _ in plan.gone:
        del rows[row.id]
    return rows | {-place: (fresh.path, fresh.place) for place, fresh in enumerate(plan.fresh, start=1)}


@given(folders, folders, notes)
def test_rows_and_files_are_the_same_afterwards_and_no_known_bytes_are_embedded(before, after, touched):
    known = rows_of(before)
    lying = {path: content(bytes_, changed=int(touched)) for path, bytes_ in after.items()}
    plan = compare(known, lying, {path: place(path) for path in after})
    rows = carried_out(known, plan)
    assert sorted(path for path, _ in rows.values()) == sorted(after)
    assert all(found == place(path) for path, found in rows.values())
    bytes_of = {id_: before[path] for id_, (path, _) in carried_out(known, compare({}, {}, {})).items()}
    kept = [id_ for id_ in rows if id_ > 0]
    assert all(after[rows[id_][0]] == bytes_of[id_] for id_ in kept)
    assert len(kept) == (Counter(before.values()) & Counter(after.values())).total()
    noted = {id_: plan.noted.get(id_, content(bytes_of[id_])) for id_ in kept}
    assert all(noted[id_] == lying[rows[id_][0]] for id_ in kept)


@given(folders)
def test_a_folder_that_has_not_changed_asks_for_nothing(folder):
    lying = {path: content(bytes_) for path, bytes_ in folder.items()}
    plan = compare(rows_of(folder), lying, {path: place(path) for path in folder})
    assert (plan.same, plan.noted, plan.moves, plan.relabelled) == (len(folder), {}, [], [])
    assert (plan.fresh, plan.gone) == ([], [])


@given(folders, folders)
def test_rows_of_which_nothing_was_noted_take_what_lies_there(before, after):
    known = rows_of(before, noted=False)
    lying = {path: content(bytes_) for path, bytes_ in after.items()}
    plan = compare(known, lying, {path: place(path) for path in after})
    assert {fresh.path for fresh in plan.fresh} == set(after) - set(before)
    assert {path for _, path in plan.gone} == set(before) - set(after)
    assert plan.noted == {known[path][0].id: lying[path] for path in set(before) & set(after)}


@pytest.mark.parametrize(
    ("label", "categories", "follows"),
    [
        (None, (), True),
        ("dome", ("dome",), True),
        ("own", (), False),
        ("own", ("dome",), False),
        ("dome", ("buildings", "dome"), False),
    ],
)
def test_only_what_the_folders_named_follows_them(label, categories, follows):
    row = Filed(1, "/photos", "dome/a.png", Place(None, label, categories), content(1))
    plan = compare({"dome/a.png": [row]}, {"tower/a.png": content(1)}, {"tower/a.png": place("tower/a.png")})
    ((move, origin),) = plan.moves
    assert origin == "dome/a.png"
    assert move.place == (place("tower/a.png") if follows else row.place)


def test_a_photo_moves_to_the_file_of_its_name_where_two_are_alike():
    known = {"dome/a.png": rows_of({"dome/a.png": 1})["dome/a.png"]}
    lying = {"a/b.png": content(1), "b/a.png": content(1)}
    plan = compare(known, lying, {path: place(path) for path in lying})
    assert [fresh.path for fresh in plan.fresh] == ["b/a.png"]
    two = rows_of({"dome/a.png": 1, "dome/b.png": 1})
    plan = compare(two, {"tower/b.png": content(1)}, {"tower/b.png": place("tower/b.png")})
    assert [origin for _, origin in plan.moves] == ["dome/b.png"]
