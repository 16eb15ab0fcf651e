"""The weighted vote: its shares, its order, and who may vote."""

import math
from pathlib import Path

import polars as pl
import pytest
from coloured import COLOURS, pixels
from hypothesis import given
from hypothesis import strategies as st

from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index
from perisphere.search import Result, classify_images, vote

neighbours = st.lists(st.tuples(st.floats(-1, 1), st.sampled_from("abc")), min_size=1, max_size=12)


def results(pairs: list[tuple[float, str]]) -> list[Result]:
    return [
        Result(rank, rank, score, None, label, None, None)
        for rank, (score, label) in enumerate(pairs, start=1)
    ]


@given(neighbours, st.sampled_from([0.01, 0.07, 1.0]), st.sampled_from(["cosine", "l2"]))
def test_shares_are_the_definition(pairs: list[tuple[float, str]], temperature: float, metric: str) -> None:
    if metric == "l2":
        pairs = [(-abs(score) * 100 - 1, label) for score, label in pairs]
    scale = 1 if metric == "cosine" else -sum(score for score, _ in pairs) / len(pairs)
    votes = vote(results(pairs), metric, temperature)
    weights = [
        math.exp((score / scale - max(s for s, _ in pairs) / scale) / temperature) for score, _ in pairs
    ]
    for found in votes:
        mine = math.fsum(
            weight for weight, (_, label) in zip(weights, pairs, strict=True) if label == found.label
        )
        assert found.share == pytest.approx(mine / math.fsum(weights), abs=1e-9)
        assert [result.label for result in found.neighbours] == [found.label] * len(found.neighbours)
    assert math.fsum(found.share for found in votes) == pytest.approx(1)
    order = [(-found.share, found.label) for found in votes]
    assert order == sorted(order)
    assert sum(len(found.neighbours) for found in votes) == len(pairs)


def test_the_nearest_decides_against_the_many_and_the_many_where_it_is_warm() -> None:
    pairs = [(0.9, "a"), (0.6, "b"), (0.6, "b"), (0.6, "b")]
    assert vote(results(pairs))[0].label == "a"
    assert vote(results(pairs), temperature=10)[0].label == "b"


def test_equal_distances_of_zero_are_equal_votes() -> None:
    votes = vote(results([(-0.0, "b"), (-0.0, "a")]), "l2")
    assert [(found.label, found.share) for found in votes] == [("a", 0.5), ("b", 0.5)]


@pytest.mark.parametrize("metric", ["cosine", "l2", "l1"])
def test_new_photos_are_classified(index: Index, photos: Path, metric: str) -> None:
    verdicts = classify_images(index, [photos / "new" / f"{label}.png" for label in COLOURS], metric=metric)
    assert [verdict.label for verdict in verdicts] == list(COLOURS)
    for verdict in verdicts:
        assert verdict.share > 0.5
        assert len(verdict.answer.results) == 10
        assert verdict.answer.note == f"vote: {verdict.label} {verdict.share:.0%}"
        assert verdict.to_dict()["label"] == verdict.label


def test_a_filter_takes_the_vote_away(index: Index, photos: Path) -> None:
    verdict = classify_images(index, [photos / "new" / "sky.png"], where="label != 'sky'")[0]
    assert verdict.label in {"brick", "grass"}
    with pytest.raises(PerisphereError, match="no labelled image"):
        classify_images(index, [photos / "new" / "sky.png"], where="label == 'dome'")


def test_only_labelled_images_vote(photos: Path, tmp_path: Path) -> None:
    encoder = pixels()
    files = [photos / "sky" / f"{number}.png" for number in range(4)] + [photos / "grass" / "0.png"]
    table = pl.DataFrame({"path": [str(file) for file in files], "label": [None, None, None, None, "green"]})
    with Index.create(tmp_path / "index", encoder=encoder) as index:
        index.add(encoder.encode(files), table)
        verdict = classify_images(index, [photos / "new" / "sky.png"], 2)[0]
        assert [(found.label, found.share) for found in verdict.votes] == [("green", 1)]
        with pytest.raises(PerisphereError, match="no labelled image"):
            classify_images(index, [files[4]], exclude_self=True)


def test_a_temperature_of_nothing(index: Index, photos: Path) -> None:
    with pytest.raises(UsageError, match="not above 0"):
        classify_images(index, [photos / "new" / "sky.png"], temperature=0)
