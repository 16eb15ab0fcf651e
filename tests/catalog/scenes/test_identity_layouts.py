import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

import perisphere.cli.scenes  # noqa: F401
from perisphere.catalog.readers import read
from perisphere.catalog.scenes import DIFFICULTIES, take_photo, write_scenes
from perisphere.catalog.scenes.box import Box, cut, landmark_box, loosened, misplaced
from perisphere.catalog.scenes.device import SEQUENCES, draw_device
from perisphere.catalog.scenes.layouts import Market1501
from perisphere.catalog.scenes.layouts.layout import OUTSIDE
from perisphere.cli.main import app
from perisphere.errors import UsageError
from perisphere.taxonomy import Taxonomy

MARKET = {"layout": "market1501", "landmarks": 4, "photos": 9, "cameras": 3, "size": 48, "seed": 5}
NAME = re.compile(r"([-\d]+)_c(\d)s(\d)_(\d{6})_(\d\d)\.jpg")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("market") / "world"
    summary = write_scenes(out, **MARKET, workers=1)  # type: ignore[arg-type]
    assert summary.photos_folder == str(out / "market1501")
    assert summary.photos == len(list((out / "market1501").rglob("*.jpg")))
    return out


def names(folder: Path) -> list[tuple[str, int]]:
    """Identity and camera of each photo, from names that parse as published."""
    found = [NAME.fullmatch(file.name) for file in sorted(folder.iterdir())]
    assert all(found)
    return [(match[1], int(match[2])) for match in found if match]


def test_half_of_the_identities_train_and_each_camera_gives_one_query(market: Path) -> None:
    folder = market / "market1501"
    assert sorted(path.name for path in folder.iterdir()) == [
        "bounding_box_test",
        "bounding_box_train",
        "query",
    ]
    train = names(folder / "bounding_box_train")
    assert Counter(train) == {(i, c): 3 for i in ("0001", "0003") for c in (1, 2, 3)}
    assert Counter(names(folder / "query")) == {(i, c): 1 for i in ("0002", "0004") for c in (1, 2, 3)}
    gallery = Counter(names(folder / "bounding_box_test"))
    assert {key: n for key, n in gallery.items() if key[0] not in ("0000", "-1")} == {
        (i, c): 2 for i in ("0002", "0004") for c in (1, 2, 3)
    }


def test_the_published_reader_reads_it_back(market: Path) -> None:
    found = read("market1501", market / "market1501", strict=True)
    rows = found.table.group_by("split", "label", "camera").len().sort("split", "label", "camera")
    known = rows.filter(pl.col("label") != "0000")
    assert known.filter(pl.col("split") == "train").rows() == [
        ("train", i, c, 3) for i in ("0001", "0003") for c in "012"
    ]
    for split, count in (("query", 1), ("gallery", 2)):
        assert known.filter(pl.col("split") == split).rows() == [
            (split, i, c, count) for i in ("0002", "0004") for c in "012"
        ]
    assert set(rows.filter(pl.col("label") == "0000")["split"]) <= {"gallery"}


def test_junk_and_distractors_come_in_market_s_shares() -> None:
    rolls = Market1501(Path("out"), truth=False).rolls(750, 30)
    count = {"right": 0, "distractors": 0, "junk": 0}
    for roll in rolls:
        kind = "distractors" if roll.landmark >= OUTSIDE else "junk" if roll.first >= OUTSIDE else "right"
        count[kind] += 0 if kind == "right" and roll.landmark % 2 == 0 else roll.end - roll.first
    gallery = count["right"] - 375 * 6
    assert count["distractors"] / gallery == pytest.approx(2798 / 13115, rel=0.05)
    assert count["junk"] / (gallery + count["distractors"]) == pytest.approx(3819 / 15913, rel=0.05)


def test_pictures_are_upright_and_truth_fits_them(market: Path) -> None:
    captions = pl.read_csv(market / "truth/captions.csv")
    files = sorted((market / "market1501").rglob("*.jpg"))
    assert sorted(captions["path"]) == [str(file.relative_to(market / "market1501")) for file in files]
    for file in files:
        with Image.open(file) as image:
            assert image.size == (24, 48)
        inner = file.relative_to(market / "market1501").with_suffix(".png")
        with Image.open(market / "truth/masks" / inner) as mask:
            assert mask.size == (24, 48)
    points = pl.read_parquet(market / "truth/keypoints.parquet")
    assert points["x"].max() <= 24  # type: ignore[operator]
    assert 24 < points["y"].max() <= 48  # type: ignore[operator]


def test_the_taxonomy_knows_the_identities_and_no_distractor(market: Path) -> None:
    assert list(Taxonomy.load(market / "taxonomy.txt").leaves) == ["0001", "0002", "0003", "0004"]


def test_bytes_do_not_depend_on_workers(market: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path / "two", **MARKET, workers=2)  # type: ignore[arg-type]
    one, two = (
        {file.relative_to(root): file.read_bytes() for file in root.rglob("*") if file.is_file()}
        for root in (market, tmp_path / "two")
    )
    assert one == two


def test_a_camera_keeps_its_side_and_its_colours() -> None:
    level = DIFFICULTIES["hard"]
    mean, side = [], []
    for number in (0, 5):
        device = draw_device(3, number, 6, level)
        photos = [take_photo(3, 1, k, size=32, difficulty="hard", device=device) for k in range(4)]
        assert {photo.light for photo in photos} == {device.lights[device.sequence(1)]}
        places = [photo.camera.position - photo.landmark.middle for photo in photos]
        angles = [np.degrees(np.arctan2(y, x)) - device.azimuth for x, y, _ in places]
        assert max(abs((angle + 180) % 360 - 180) for angle in angles) < 4 * device.swing
        mean.append([photo.pixels.mean((0, 1)) for photo in photos])
        side.append(device.azimuth)
    assert side[1] - side[0] > 200
    within = max(np.std(own, axis=0).max() for own in mean)
    between = np.abs(np.mean(mean[0], axis=0) - np.mean(mean[1], axis=0)).max()
    assert between > within


def test_what_is_hard_is_to_match_across_cameras(market: Path) -> None:
    files = [f for f in sorted((market / "market1501").rglob("*.jpg")) if f.name[:4] not in ("0000", "-1_c")]
    small = [np.asarray(Image.open(file).resize((8, 16)), np.float64).ravel() for file in files]
    pixels = np.array(small) - np.mean(small, axis=1, keepdims=True)
    pixels /= np.linalg.norm(pixels, axis=1, keepdims=True)
    identity = np.array([file.name[:4] for file in files])
    camera = np.array([file.name[6] for file in files])
    alike = pixels @ pixels.T - 9 * np.eye(len(files))
    own = camera[:, None] == camera
    within, across = (
        (identity[np.where(seen, alike, -9).argmax(1)] == identity).mean() for seen in (own, ~own)
    )
    assert within > across + 0.2


def test_a_landmark_comes_by_all_cameras_in_the_same_recording() -> None:
    level = DIFFICULTIES["normal"]
    devices = [draw_device(1, k, 6, level) for k in range(6)]
    sequences = {tuple(device.sequence(of) for device in devices) for of in range(40)}
    assert all(len(set(row)) == 1 for row in sequences)
    assert {row[0] for row in sequences} == set(range(SEQUENCES))


def test_one_camera_stands_in_front() -> None:
    device = draw_device(1, 0, 1, DIFFICULTIES["normal"])
    assert device.view == "front"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"photos": 5}, "--photos 5: --layout market1501 takes from 6"),
        ({"cameras": 10, "photos": 20}, "--cameras 10: must be from 2 to 9"),
        ({"cameras": 1}, "--cameras 1: must be from 2 to 9"),
        ({"landmarks": 1}, "--landmarks 1: --layout market1501 takes at least 2"),
        ({"layout": "folders"}, "--cameras: --layout folders has no fixed cameras; market1501 has."),
    ],
)
def test_what_market_refuses(change: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        write_scenes(tmp_path / "out", **{**MARKET, **change}, workers=1)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_cameras_is_an_option(tmp_path: Path) -> None:
    words = ["scenes", str(tmp_path / "w"), "--layout", "market1501", "--landmarks", "2", "--photos", "4"]
    words += ["--cameras", "2", "--size", "32", "--workers", "1", "--no-truth"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert {camera for _, camera in names(tmp_path / "w/market1501/query")} == {1, 2}


boxes = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(5, 24), st.integers(5, 24)).map(
    lambda t: Box(t[0], t[1], t[0] + t[2], t[1] + t[3])
)


@given(boxes, st.integers(0, 1000))
def test_boxes_stay_inside_the_picture(box: Box, seed: int) -> None:
    for change in (
        loosened(box, np.random.default_rng(seed), 0.3, (64, 64)),
        misplaced(box, np.random.default_rng(seed), (64, 64)),
    ):
        assert 0 <= change.left < change.right <= 64
        assert 0 <= change.top < change.bottom <= 64


def test_the_box_holds_the_landmark_and_cutting_keeps_the_keypoints_on_it() -> None:
    photo = take_photo(2, 4, 0, size=64, difficulty="easy")
    box = landmark_box(photo)
    alone = cut(photo, box, (box.right - box.left, box.bottom - box.top))
    assert np.array_equal(alone.pixels, photo.pixels[box.top : box.bottom, box.left : box.right])
    assert landmark_box(alone) == Box(0, 0, box.right - box.left, box.bottom - box.top)
    assert len(alone.keypoints) == len(photo.keypoints) > 0
    parts = [p.parts[tuple(p.places.astype(int).T[::-1])] for p in (photo, alone)]
    assert np.array_equal(*parts)
    small = cut(photo, box, (32, 64))
    assert (small.pixels.shape, small.parts.shape) == ((64, 32, 3), (64, 32))
    assert np.allclose(small.places / (32, 64), alone.places / alone.parts.shape[::-1], atol=1e-5)


FASHION = {"layout": "fashion", "landmarks": 4, "photos": 4, "size": 48, "seed": 5}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fashion") / "world"
    summary = write_scenes(out, **FASHION, workers=1)  # type: ignore[arg-type]
    assert summary.photos_folder == str(out / "fashion")
    assert summary.photos == len(list((out / "fashion").rglob("*.jpg"))) == 16 + 2
    return out


def test_fashion_is_read_back_with_pairs_sources_and_boxes(shop: Path) -> None:
    found = read("fashion", shop / "fashion", strict=True)
    rows = found.table.group_by("split", "label", "domain").len().sort("split", "label", "domain")
    assert rows.rows() == [
        *(("gallery", i, "shop", n) for i, n in (("1", 2), ("100000", 1), ("100001", 1), ("3", 2))),
        *(("query", i, "user", 2) for i in "13"),
        *(("train", i, source, 2) for i in "02" for source in ("shop", "user")),
    ]
    assert found.table["box"].null_count() == 0


def test_fashion_files_are_coco(shop: Path) -> None:
    ids: list[int] = []
    for split in ("train", "query", "gallery"):
        content = json.loads((shop / f"fashion/{split}.json").read_text())
        images = {image["id"]: image for image in content["images"]}
        kinds = {category["id"] for category in content["categories"]}
        ids += images
        assert len(content["annotations"]) == len(images) > 0
        for annotation in content["annotations"]:
            image, (left, top, wide, high) = images[annotation["image_id"]], annotation["bbox"]
            assert 0 <= left < left + wide <= image["width"]
            assert 0 <= top < top + high <= image["height"]
            assert annotation["area"] == wide * high
            assert annotation["category_id"] in kinds
            with Image.open(shop / "fashion" / split / image["file_name"]) as photo:
                assert photo.size == (image["width"], image["height"])
    assert len(set(ids)) == len(ids)


def test_the_shop_s_background_is_plain_and_the_buyers_is_not(shop: Path) -> None:
    for file in sorted((shop / "fashion").rglob("*.jpg")):
        corner = np.asarray(Image.open(file).convert("RGB"))[:3, :3].astype(float)
        assert (corner.min() > 225) == ("_shop_" in file.name)


def test_fashion_s_bytes_do_not_depend_on_workers(shop: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path / "two", **FASHION, workers=2)  # type: ignore[arg-type]
    for file in (file for file in shop.rglob("*") if file.is_file()):
        assert file.read_bytes() == (tmp_path / "two" / file.relative_to(shop)).read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"photos": 1}, "--photos 1: --layout fashion takes at least 2"),
        ({"landmarks": 1}, "--landmarks 1: --layout fashion takes at least 2"),
        ({"cameras": 3}, "--cameras: --layout fashion has no fixed cameras"),
    ],
)
def test_what_fashion_refuses(change: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        write_scenes(tmp_path / "out", **{**FASHION, **change}, workers=1)  # type: ignore[arg-type]
