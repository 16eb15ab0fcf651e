import json
from pathlib import Path
from typing import Literal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.catalog import Catalog
from perisphere.catalog.presets import PRESETS, preset
from perisphere.catalog.split import SmallClass, split
from perisphere.errors import PerisphereError, UsageError

HERE = Path()


def catalog(counts: dict[str | None, int], splits: list[str] | None = None) -> Catalog:
    labels = [label for label, count in counts.items() for _ in range(count)]
    paths = [f"{label}/{number}.jpg" for number, label in enumerate(labels)]
    columns = {"path": paths, "label": pl.Series(labels, dtype=pl.String)}
    return Catalog(pl.DataFrame(columns | ({"split": splits} if splits else {})), HERE)


def counted(made: Catalog) -> dict[tuple[str | None, str | None], int]:
    return {(label, name): count for label, name, count in made.table.group_by("label", "split").len().rows()}


def test_the_default_takes_six_one_two_one_of_ten() -> None:
    division = split(catalog({"a": 10, "b": 20}))
    assert counted(division.catalog) == {
        ("a", "train"): 6, ("a", "val"): 1, ("a", "test"): 2, ("a", "index"): 1,
        ("b", "train"): 12, ("b", "val"): 2, ("b", "test"): 4, ("b", "index"): 2,
    }  # fmt: skip
    assert division.small == []


def test_the_two_contradicting_presets_are_told_apart() -> None:
    for name, test, index in (("documented", 20, 10), ("coded", 10, 20)):
        found = counted(split(catalog({"a": 100}), preset(name)).catalog)
        assert found == {("a", "train"): 60, ("a", "val"): 10, ("a", "test"): test, ("a", "index"): index}
    with pytest.raises(UsageError, match="Did you mean 'coded'"):
        preset("code")


PUBLISHED = {
    "coded": "sixty_ten_ten_twenty",
    "seventy-thirty": "seventy_thirty_test_index",
    "overlapping": "overlapping_index_variant",
    "tenth": "move_ten_percent_to_test",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts(name: str, shared: Path) -> None:
    cases = json.loads((shared / "golden/landmarks.json").read_text())["cases"]["split_counts"]
    assert len(cases) == 7
    for case in cases:
        images = case["inputs"]["images_in_class"]
        made = split(catalog({"a": images}), preset(name), rounding="published")
        expected = case["outputs"][PUBLISHED[name]]
        expected = {("a", "train" if part == "kept" else part): count for part, count in expected.items()}
        assert counted(made.catalog) == {part: count for part, count in expected.items() if count}
        lacking = {part for (_, part), count in expected.items() if not count}
        assert {part for item in made.small for part in item.without} == lacking


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(PRESETS)), st.sampled_from(["largest", "published"]), st.integers(1, 250))
def test_presets_leave_nobody_out_and_published_counts_stay_within_their_remainder(
    name: str, rounding: Literal["largest", "published"], images: int
) -> None:
    chosen = preset(name)
    found = counted(split(catalog({"a": images}), chosen, rounding=rounding).catalog)
    assert sum(found.get(("a", part), 0) for part in chosen.fractions) == images
    slack = 1 if rounding == "largest" else 4
    for part, fraction in {**chosen.fractions, **chosen.again}.items():
        assert abs(found.get(("a", part), 0) - fraction * images) <= slack


@pytest.mark.parametrize("rounding", ["largest", "published"])
def test_the_overlapping_index_is_drawn_from_all_but_the_test_images(
    rounding: Literal["largest", "published"],
) -> None:
    whole = catalog({"a": 40, "b": 25})
    points = pl.DataFrame({"image": whole.table["id"], "point": 7, "x": 1.5, "y": 2.5})
    whole = Catalog(whole.table, HERE, keypoints=points)
    made = split(whole, preset("overlapping"), rounding=rounding).catalog
    first, more = made.table[:65], made.table[65:]
    assert first.drop("split").equals(whole.table.drop("split"))
    assert more["split"].unique().to_list() == ["index"]
    assert len(made.table["id"].unique()) == len(made)
    assert more["path"].is_unique().all()
    drawn = first.filter(pl.col("path").is_in(more["path"].implode()))
    assert set(drawn["split"]) <= {"train", "val"}
    assert "train" in set(drawn["split"])
    assert made.keypoints is not None
    assert sorted(made.keypoints["image"]) == sorted(made.table["id"])
    assert not split(whole, preset("overlapping"), seed=1).catalog.table.equals(made.table)


def test_only_presets_have_a_published_rounding() -> None:
    with pytest.raises(UsageError, match="Name one with --preset"):
        split(catalog({"a": 10}), {"train": 1.0}, rounding="published")
    with pytest.raises(UsageError, match="'up' is not largest or published"):
        split(catalog({"a": 10}), rounding="up")  # type: ignore[arg-type]


names = st.sampled_from(["train", "val", "test", "query", "gallery", "index", "x"])
fractions_strategy = st.dictionaries(names, st.integers(0, 20), min_size=1).filter(
    lambda d: sum(d.values()) > 0
)
classes = st.dictionaries(
    st.one_of(st.none(), st.text(max_size=3)), st.integers(1, 40), min_size=1, max_size=5
)


@settings(max_examples=80, deadline=None)
@given(classes, fractions_strategy, st.integers(0, 1), st.integers(0, 9))
def test_every_class_is_divided_within_one_of_its_share(
    counts: dict, parts: dict, rest: int, seed: int
) -> None:
    whole = sum(parts.values()) + rest
    fractions = {name: part / (whole * 1.0000001) for name, part in parts.items()}
    made = split(catalog(counts), fractions, seed=seed).catalog
    found = counted(made)
    assert len(made) == sum(counts.values())
    for label, images in counts.items():
        assert sum(count for (of, _), count in found.items() if of == label) == images
        for name, fraction in fractions.items():
            assert abs(found.get((label, name), 0) - images * fraction) < 1 + 1e-6


def test_classes_too_small_for_every_split_are_reported() -> None:
    division = split(catalog({"lone": 1, "few": 3, "many": 10}))
    assert division.small == [
        SmallClass("lone", 1, ("val", "test", "index")),
        SmallClass("few", 3, ("val", "index")),
    ]


def test_the_same_seed_gives_the_same_and_another_another() -> None:
    whole = catalog({"a": 50, "b": 50})
    first, again, other = (split(whole, seed=seed).catalog.table for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)


def test_neither_other_classes_nor_the_order_of_rows_matter() -> None:
    whole = catalog({"a": 30, "b": 30, "c": 30})
    expected = dict(split(whole).catalog.table.select("path", "split").rows())
    fewer = whole.with_table(whole.table.filter(pl.col("label") != "b").reverse())
    found = dict(split(fewer).catalog.table.select("path", "split").rows())
    assert found.items() <= expected.items()


def test_what_the_fractions_leave_is_in_no_split() -> None:
    made = split(catalog({"a": 10}), {"train": 0.5, "odd name": 0.2}).catalog
    assert counted(made) == {("a", "train"): 5, ("a", "odd name"): 2, ("a", None): 3}


def test_decimal_fractions_sum_exactly() -> None:
    split(catalog({"a": 10}), {"train": 0.7, "val": 0.1, "test": 0.1, "index": 0.1})


def test_one_split_can_be_divided_further() -> None:
    whole = catalog({"a": 20}, ["train"] * 10 + ["test"] * 10)
    made = split(whole, {"train": 0.8, "val": 0.2}, of="train").catalog
    assert counted(made) == {("a", "train"): 8, ("a", "val"): 2, ("a", "test"): 10}
    assert made.table["split"].to_list()[10:] == ["test"] * 10
    with pytest.raises(PerisphereError, match="'trian'"):
        split(whole, of="trian")


def test_published_splits_are_not_forgotten_by_accident() -> None:
    whole = catalog({"a": 10}, ["train"] * 10)
    with pytest.raises(UsageError, match="has the splits train already"):
        split(whole)
    assert counted(split(whole, replace=True).catalog)["a", "test"] == 2


def test_what_was_done_is_noted() -> None:
    made = split(catalog({"a": 10}), {"train": 0.5}, seed=3).catalog
    assert made.source["divided"] == {
        "fractions": {"train": 0.5},
        "again": {},
        "rounding": "largest",
        "seed": 3,
        "of": None,
    }


@pytest.mark.parametrize(
    ("fractions", "complaint"),
    [
        ({"train": -0.1}, "train: -0.1 is not a fraction"),
        ({"train": float("nan")}, "train: nan is not a fraction"),
        ({"train": float("inf")}, "train: inf is not a fraction"),
        ({"train": 0.7, "val": 0.31}, "train 0.7 \\+ val 0.31 is 1.01, more than 1"),
        ({"train": 0.0}, "all are 0"),
        ({}, "all are 0"),
        ({"": 0.5}, "split name ''"),
        ({"a/b": 0.5}, "split name 'a/b'"),
    ],
)
def test_wrong_fractions(fractions: dict, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        split(catalog({"a": 10}), fractions)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(UsageError, match="seed: -1"):
        split(catalog({"a": 10}), seed=-1)
