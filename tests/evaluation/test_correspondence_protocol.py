"""Matched points of pairs of photos are judged."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

from perisphere.catalog import Catalog
from perisphere.cli.main import app
from perisphere.encoder import Encoder, Preprocessing
from perisphere.encoder.dense_features import DenseFeatures
from perisphere.errors import PerisphereError, UsageError
from perisphere.evaluation.correspondence import judge_correspondence
from perisphere.evaluation.match_pictures import draw_matches
from perisphere.evaluation.point_pairs import point_pairs
from perisphere.evaluation.report import Report
from perisphere.nets import NetSpec, build
from perisphere.nets.segmentation import SegmentationSpec, build_segmentation

SHIFT = (14, -6)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    spec = SegmentationSpec(backbone="squeezenet1_0", width=16)
    return Encoder(build_segmentation(spec, seed=1).eval(), Preprocessing(size=(96, 96)), name="small")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Three windows of one picture of noise, of different sizes, and a photo of something else."""
    folder = tmp_path_factory.mktemp("places")
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (24, 24, 3), np.uint8)
    world = np.array(Image.fromarray(coarse).resize((144, 144), Image.Resampling.BICUBIC))
    corners, sizes = [(20, 20), (20 + SHIFT[0], 20 + SHIFT[1]), (20, 20)], [(96, 80), (96, 80), (98, 82)]
    world_points = rng.uniform(45, 90, (30, 2))
    rows, keypoints = [], []
    for place, ((x, y), (width, height)) in enumerate(zip(corners, sizes, strict=True)):
        Image.fromarray(world[y : y + height, x : x + width]).save(folder / f"{place}.png")
        rows.append({"id": 10 + place, "path": f"{place}.png", "split": "test"})
        keypoints += [(10 + place, point, *(at - (x, y))) for point, at in enumerate(world_points)]
    Image.fromarray(coarse).save(folder / "other.png")
    rows.append({"id": 20, "path": "other.png", "split": "train"})
    keypoints += [(20, 0, 1.0, 1.0), (10, 0, 3.0, 3.0)]  # the second stands twice in photo 10
    table = pl.DataFrame(keypoints, schema=["image", "point", "x", "y"], orient="row")
    catalog = Catalog(pl.DataFrame(rows), folder, {"format": "drawn"}, keypoints=table)
    catalog.save(folder / "catalog")
    return Catalog.load(folder / "catalog")


def test_pairs_hold_the_points_of_both(places: Catalog) -> None:
    photos, pairs = point_pairs(places)
    assert [(pair.first, pair.second) for pair in pairs] == [(0, 1), (0, 2), (1, 2)]
    assert len(photos) == 4
    first = pairs[0].points
    assert first.shape == (2, 30, 2)
    np.testing.assert_allclose(first[0] - first[1], np.broadcast_to(SHIFT, (30, 2)), atol=1e-4)
    np.testing.assert_allclose(pairs[1].points[0], pairs[1].points[1], atol=1e-4)


def test_pairs_are_drawn_by_lot(places: Catalog) -> None:
    drawn = [
        [(pair.first, pair.second) for pair in point_pairs(places, most=2, seed=seed)[1]]
        for seed in (0, 0, *range(1, 9))
    ]
    assert drawn[0] == drawn[1]
    assert all(len(pairs) == 2 for pairs in drawn)
    assert len({tuple(pairs) for pairs in drawn}) > 1


def test_catalogs_without_pairs_are_named(places: Catalog) -> None:
    with pytest.raises(PerisphereError, match="no two photos share 31 points"):
        point_pairs(places, least=31)
    with pytest.raises(PerisphereError, match="no two photos share"):
        point_pairs(places, split="train")
    with pytest.raises(PerisphereError, match="no keypoints"):
        point_pairs(Catalog(places.table, places.root))


def test_windows_of_one_picture_are_matched(places: Catalog, encoder: Encoder) -> None:
    features = DenseFeatures(encoder, layer="shallow", precision="float32")
    judged = judge_correspondence(places, features, split="test")
    values = judged.report.values
    assert judged.report.counts == {"photos": 3, "pairs": 3, "points": 180}
    # the network sees noise, untrained: its first stage finds most points, a guess finds few
    assert values["PCK@10 %"] > 0.7
    assert values["PCK@5 %"] > values["PCK@5 % chance"]
    assert values["PCK@5 % same position"] == pytest.approx(1 / 3, abs=0.01)
    assert values["PCK@10 % chance"] == pytest.approx(np.pi * 0.01 * 96 / 82, rel=0.2)
    assert values["PCK@10 %"] == pytest.approx(judged.report.curves["PCK"][10])
    assert values["median error"] < 0.1
    again = judge_correspondence(places, features, split="test").report
    assert again.values == values


def test_both_conventions_of_corners_and_every_kind_of_encoder(places: Catalog, encoder: Encoder) -> None:
    plain = Encoder(
        build(NetSpec(backbone="resnet18"), seed=0).eval(), Preprocessing(size=(96, 96)), name="plain"
    )
    for made in (DenseFeatures(encoder), DenseFeatures(plain, layer="layer1"), DenseFeatures(plain)):
        for align_corners in (True, False):
            values = judge_correspondence(places, made, pairs=1, align_corners=align_corners).report.values
            assert 0 <= values["PCK@5 %"] <= values["PCK@10 %"] <= 1
    with pytest.raises(UsageError, match="no layer 'layer9'"):
        DenseFeatures(plain, layer="layer9")


@pytest.mark.parametrize("options", [{"least": 0}, {"pairs": 0}])
def test_numbers_below_one_are_refused(places: Catalog, encoder: Encoder, options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="give numbers from 1"):
        judge_correspondence(places, DenseFeatures(encoder), **options)  # type: ignore[arg-type]


def test_pictures_are_drawn(places: Catalog, encoder: Encoder, tmp_path: Path) -> None:
    judged = judge_correspondence(places, DenseFeatures(encoder))
    files = draw_matches(judged, tmp_path, 2)
    assert [file.name for file in files] == ["01.jpg", "02.jpg"]
    with Image.open(files[0]) as picture:
        assert picture.height > 420
        assert picture.width > 800


def test_the_command(places: Catalog, encoder: Encoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "encoder")
    words = ["evaluate", "correspondence", str(places.root / "catalog"), "-e", str(tmp_path / "encoder")]
    drawn = ["--plots", str(tmp_path / "plots"), "--matches", str(tmp_path / "matches"), "--pictures", "1"]
    kept = ["--json", "-o", str(tmp_path / "report.json")]
    found = CliRunner().invoke(app, [*words, "--layer", "conv3", *kept, *drawn])
    assert found.exit_code == 0, found.output
    report = Report.load(tmp_path / "report.json")
    assert report.options["layer"] == "shallow"
    assert json.loads(found.stdout)["values"]["PCK@5 %"] == pytest.approx(report.values["PCK@5 %"])
    assert {file.name for file in (tmp_path / "plots").iterdir()} == {"pck.png", "pck.svg"}
    assert [file.name for file in (tmp_path / "matches").iterdir()] == ["01.jpg"]
    wrong = CliRunner().invoke(app, [*words, "--matches", str(tmp_path / "report.json")])
    assert "is no folder" in str(wrong.exception)
    assert "give --matches" in str(CliRunner().invoke(app, [*words, "--pictures", "3"]).exception)
