import numpy as np
import pytest
from PIL import Image

from perisphere.evaluation import Reranking, judge_retrieval
from perisphere.evaluation.reranking import photo_of
from perisphere.search.rerank import parse_chain


def on_a_line(labels, points):
    """The first asks; the others lie in this order from it."""
    angles = np.linspace(0, 1, len(labels))
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return points(labels, vectors, ["query"] + ["index"] * (len(labels) - 1))


def reranked(given, chain, depth):
    judged = judge_retrieval(
        given, query=["query"], gallery=["index"], reranking=Reranking(parse_chain(chain), depth)
    )
    return judged.ranking.ids


def test_a_chain_sees_the_neighbours_it_needs_whatever_the_depth(points):
    given = on_a_line([*"abaabb"], points)
    # The nearest is a b, but two of the three that vote are an a.
    assert reranked(given, "label(vote=3)", depth=1).tolist() == [[1]]
    random = points([*"ab"] * 20, splits=["query"] * 4 + ["index"] * 36)
    for chain in ("label(vote=3)", "alphaqe(n=30)", "kreciprocal"):
        whole = reranked(random, chain, depth=36)
        assert reranked(random, chain, depth=5).tolist() == whole[:, :5].tolist()


def test_lists_are_no_longer_than_the_gallery(points):
    assert reranked(on_a_line([*"abaabb"], points), "alphaqe(n=50)", depth=100).shape == (1, 5)


def test_the_report_speaks_of_the_chain_and_not_of_ties(points):
    given = on_a_line([*"abaabb"], points)
    sides = {"query": ["query"], "gallery": ["index"]}
    plain = judge_retrieval(given, **sides).report
    again = judge_retrieval(given, **sides, reranking=Reranking(parse_chain("label"), 5)).report
    assert plain.options["ties"] == "pessimistic"
    assert plain.conventions["ties"].startswith("pessimistic")
    assert "ties" not in again.options
    assert (again.options["rerank"], again.conventions["ties"]) == ("label(vote=3)", "as re-ranked")


@pytest.mark.parametrize(
    ("box", "cut"),
    [
        ([3, 2, 10, 8], (slice(2, 8), slice(3, 10))),
        ([-4, -1, 10, 99], (slice(0, 12), slice(0, 10))),
        (None, (slice(0, 12), slice(0, 16))),
    ],
)
def test_a_query_asks_with_the_part_of_its_photo_inside_the_box(tmp_path, box, cut):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "q.png")
    photo = photo_of({"path": "q.png", "root": str(tmp_path), "box": box})
    found = photo if isinstance(photo, np.ndarray) else np.asarray(Image.open(photo))
    assert np.array_equal(found, pixels[cut])
