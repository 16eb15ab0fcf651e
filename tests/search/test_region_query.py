"""What a segmentation found comes into an index, and parts of photos find it."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import painted
import PIL.Image
import polars as pl
import pytest
from asking import ask

from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index
from perisphere.index.segmented import bring_regions
from perisphere.search import Ingredient, Part, Query, Row, write_sheet
from perisphere.search.drawn_regions import colour_of, draw_regions
from perisphere.search.part import parse_box
from perisphere.search.rerank import parse_chain
from perisphere.search.spaces import Spaces
from perisphere.search.ways import way_of

PORTAL, STATUE = (8, 16, 40, 64), (56, 8, 80, 60)


def way(index: Index, thing: Ingredient, by: str | None = None) -> str:
    return way_of(Spaces(index), Query.of(thing, by=by))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return painted.photos_at(tmp_path_factory.mktemp("painted") / "photos")


@pytest.fixture(scope="module")
def made(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with vectors of regions; no test changes it."""
    root = tmp_path_factory.mktemp("segmented")
    with painted.indexed(root / "index", photos, painted.encoder_of()) as index:
        brought = bring_regions(index, painted.segmented(photos, root / "masks"))
        assert (brought.photos, brought.regions, brought.vectors, brought.strangers) == (6, 6, 6, 0)
    return root / "index"


@pytest.fixture
def index(made: Path):
    with Index.open(made) as opened:
        yield opened


def test_boxes_outlines_scores_and_vectors_come_into_the_index(index: Index) -> None:
    portal, statue = index.regions.read([1])
    assert (portal.concept, portal.box, round(portal.score, 4)) == ("portal", PORTAL, 0.9)
    assert set(portal.outline[0]) == {(8, 16), (39, 16), (39, 63), (8, 63)}
    assert statue.box == STATUE
    assert index.ids("regions is null").tolist() == [5]  # nothing was found there
    about = index.regions.about()
    assert about == {
        "concepts": list(painted.CLASSES),
        "encoder": index.encoder().identity,
        "layer": "decoder",
        "dim": 16,
    }
    assert index.verify() == []


def test_a_part_finds_photos_with_such_a_part_and_shows_it(index: Index, photos: Path) -> None:
    results = ask(index, [Part(photos / "0.png", PORTAL), Part(photos / "0.png", STATUE)], 3)
    for answer, concept, others in zip(results.answers, ("portal", "statue"), ({2, 6}, {3}), strict=True):
        assert answer.label == "Dom"
        assert (answer.results[0].id, answer.results[0].regions[0].concept) == (1, concept)
        assert answer.results[0].score > 0.999
        near = [r for r in answer.results if r.regions[0].concept == concept]
        assert {r.id for r in near} == others | {1}
    told = results.to_dict()["queries"][0]
    assert (results.road, told["region"]) == ("regions", [8.0, 16.0, 40.0, 64.0])
    assert told["results"][0]["regions"][0]["box"] == list(PORTAL)


def test_a_part_of_a_photo_of_the_index_finds_others(index: Index, photos: Path, tmp_path: Path) -> None:
    parts = [Part(Row(1), PORTAL), Part(photos / "0.png", PORTAL)]
    by_id, by_file = ask(index, parts, 6).answers
    assert by_file.results[0].id == 1
    assert [(r.id, r.score) for r in by_id.results] == [(r.id, r.score) for r in by_file.results[1:]]
    assert (by_id.label, by_id.name) == ("Dom", "0.png [8,16,40,64]")
    write_sheet(tmp_path / "part.png", [by_id])
    with pytest.raises(PerisphereError, match="image 7: the index does not know where its photo lies"):
        _ = Part(Row(7), PORTAL).picture


def test_pixels_and_shares_are_the_same_part(index: Index, photos: Path) -> None:
    shares = (8 / 96, 16 / 64, 40 / 96, 1.0)
    parts = [Part(str(photos / "0.png"), PORTAL), Part(painted.paint(0), shares)]
    one, other = ask(index, parts, 5).answers
    assert [r.id for r in one.results] == [r.id for r in other.results]
    np.testing.assert_allclose([r.score for r in one.results], [r.score for r in other.results], atol=1e-5)
    assert parts[1].pixels == PORTAL


def test_self_filters_and_cut_offs(index: Index, photos: Path) -> None:
    part = Part(photos / "0.png", PORTAL)
    (answer,) = ask(index, [part], 9, exclude_self=True).answers
    assert 1 not in [r.id for r in answer.results]
    (answer,) = ask(index, [part], 9, where="regions has 'statue'").answers
    assert [r.id for r in answer.results] == [1, 3]
    (answer,) = ask(index, [part], 9, min_score=0.9999).answers
    assert [r.id for r in answer.results] == [1]
    with pytest.raises(UsageError, match="k is 0"):
        ask(index, [part], 0)
    with pytest.raises(UsageError, match="least score is nan"):
        ask(index, [part], min_score=float("nan"))


@pytest.mark.parametrize(
    ("box", "fault"),
    [
        ((5, 5, 5, 9), "is not x0,y0,x1,y1 with x0 below x1"),
        ((0, float("nan"), 1, 1), "is not x0,y0"),
        ((200, 10, 300, 50), "holds nothing of a photo of 96 x 64 pixels"),
        ((10.1, 10.1, 10.3, 10.3), "less than a pixel"),
    ],
)
def test_boxes_that_hold_nothing_are_refused(photos: Path, box, fault) -> None:
    with pytest.raises(UsageError, match=fault):
        _ = Part(photos / "0.png", box).picture


def test_a_box_is_read_from_text() -> None:
    assert parse_box("0.1, 0,0.5,1") == (0.1, 0, 0.5, 1)
    for text in ("1,2,3", "a,b,c,d", ""):
        with pytest.raises(UsageError, match="--region"):
            parse_box(text)


def test_without_regions_the_part_is_cut_out_and_embedded(tmp_path: Path, photos: Path) -> None:
    with painted.indexed(tmp_path / "index", photos, painted.encoder_of()) as index:
        part = Part(photos / "3.png", (0, 0, 48, 48))
        assert way(index, part) == "vectors"
        cropped = PIL.Image.open(photos / "3.png").crop((0, 0, 48, 48))
        one, other = ask(index, [part, cropped], 6).answers
        assert [(r.id, r.score) for r in one.results] == [(r.id, r.score) for r in other.results]
        (alone,) = ask(index, [part], 6, exclude_self=True).answers
        assert 4 not in [r.id for r in alone.results]
        ask(index, [part], 2, rerank=parse_chain("geometric(n=2)"))
        with pytest.raises(PerisphereError, match=r"keeps no vectors of regions.*index regions"):
            ask(index, [part], by="regions")


def test_an_index_with_vectors_of_regions_answers_by_them_unless_asked_otherwise(index, photos) -> None:
    part = Part(photos / "0.png", PORTAL)
    assert (way(index, part), way(index, part, "vectors")) == ("regions", "vectors")
    with pytest.raises(UsageError, match="texts alone"):
        way(index, part, "words")
    with pytest.raises(UsageError, match="texts or parts of photos"):
        way(index, photos / "0.png", "regions")
    with pytest.raises(UsageError, match=r"--by 'word' is unknown.*words"):
        way(index, part, "word")


def test_photos_that_moved_are_known_by_their_path(tmp_path: Path, photos: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(photos, moved)
    with painted.indexed(tmp_path / "index", photos, painted.encoder_of()) as index:
        assert bring_regions(index, painted.segmented(moved, tmp_path / "masks"), vectors=False).photos == 6
        assert index.info()["regions"]["vectors"] == 0
        index.add(np.ones((1, 16)), pl.DataFrame({"path": ["0.png"]}), root=tmp_path / "elsewhere")
        again = bring_regions(index, painted.segmented(moved, tmp_path / "masks"), vectors=False)
        assert (again.photos, again.strangers) == (5, 1)  # which 0.png is meant cannot be told
        index.add(np.ones((1, 16)), pl.DataFrame({"path": ["0.png"]}), root=moved)
        assert bring_regions(index, painted.segmented(moved, tmp_path / "masks"), vectors=False).photos == 6
        assert [region.image for region in index.regions.read([8])] == [8, 8]


def test_what_cannot_come_leaves_the_index_as_it_was(tmp_path: Path, photos: Path) -> None:
    with painted.indexed(tmp_path / "index", photos, painted.encoder_of()) as index:
        catalog = painted.segmented(photos, tmp_path / "masks", numbers=range(3))
        assert bring_regions(index, catalog).photos == 3
        before = index.regions.read()
        plain = painted.segmented(photos, tmp_path / "masks")
        plain.regions = None
        with pytest.raises(PerisphereError, match=r"no regions.*segment predict"):
            bring_regions(index, plain)
        broken = painted.segmented(photos, tmp_path / "broken")
        (tmp_path / "broken" / "5.png").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
        with pytest.raises(PerisphereError, match=r"5\.png: cannot be read"):
            bring_regions(index, broken)
        assert index.regions.read() == before
        assert index.verify() == []
    catalog = painted.segmented(photos, tmp_path / "masks")
    with (
        Index.create(tmp_path / "other", 2) as empty,
        pytest.raises(PerisphereError, match="none of the 6 photos"),
    ):
        bring_regions(empty, catalog)


def test_photos_that_are_gone_get_regions_without_vectors(tmp_path: Path, photos: Path) -> None:
    shutil.copytree(photos, tmp_path / "photos")
    with painted.indexed(tmp_path / "index", tmp_path / "photos", painted.encoder_of()) as index:
        (tmp_path / "photos" / "1.png").unlink()
        brought = bring_regions(index, painted.segmented(tmp_path / "photos", tmp_path / "masks"))
        assert (brought.regions, brought.vectors, len(brought.unreadable)) == (6, 5, 1)
        assert "1.png" in brought.unreadable[0]
        assert index.verify() == []


def test_an_index_with_other_vectors_keeps_regions_without(tmp_path: Path, photos: Path) -> None:
    with Index.create(tmp_path / "index", 3) as index:
        index.add(np.eye(6, 3) + 0.1, painted.table(), root=photos)
        assert bring_regions(index, painted.segmented(photos, tmp_path / "masks")).vectors == 0
        assert index.regions.about()["encoder"] is None


def test_a_sheet_shows_the_regions_and_the_part(index: Index, photos: Path, tmp_path: Path) -> None:
    results = ask(index, [Part(photos / "0.png", PORTAL)], 3)
    sheet = np.asarray(PIL.Image.open(write_sheet(tmp_path / "sheet.png", results.answers)).convert("RGB"))
    assert (sheet == colour_of("portal")).all(2).sum() > 100
    bare = [
        replace(answer, results=tuple(replace(result, regions=()) for result in answer.results))
        for answer in results.answers
    ]
    plain = np.asarray(PIL.Image.open(write_sheet(tmp_path / "plain.png", bare)).convert("RGB"))
    assert (plain == colour_of("portal")).all(2).sum() == 0


def test_regions_without_an_outline_are_drawn_as_boxes() -> None:
    from perisphere.index.regions import Region

    picture = PIL.Image.new("RGB", (200, 100))
    regions = [Region("portal", 0.9, 0.1, (20, 40, 100, 90)), Region("gargoyle", 0.5, 0.1, (20, 40, 90, 80))]
    drawn = np.asarray(draw_regions(picture, regions))
    assert tuple(drawn[65, 99]) == colour_of("portal")
    assert tuple(drawn[79, 60]) == colour_of("gargoyle")
    assert not drawn[65, 120:].any()
