"""``perisphere segment`` and ``evaluate segmentation``."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from perisphere.catalog import Catalog
from perisphere.catalog.label_images import write_labels
from perisphere.cli.main import app
from perisphere.cli.segment import keep_of
from perisphere.encoder import Encoder, Preprocessing
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets.segmentation import SegmentationSpec, build_segmentation


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder, and a catalog of three photos with true masks."""
    folder = tmp_path_factory.mktemp("segmenting")
    spec = SegmentationSpec(backbone="squeezenet1_0", width=8, classes=("tower", "portal"))
    net = build_segmentation(spec, seed=1).eval()
    Encoder(net, Preprocessing(size=(40, 40)), name="small").save(folder / "encoder")
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    rows, masks = [], []
    for place in range(3):
        labels = np.zeros((30, 36), np.uint8)
        labels[:, place * 9 : place * 9 + 12] = 1 + place % 2
        pixels = rng.integers(0, 120, (30, 36, 3), np.uint8) + labels[..., None] * 60
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "photos" / f"{place}.png")
        write_labels(folder / "photos" / f"{place}-mask.png", labels, 2)
        rows.append({"path": f"{place}.png", "concepts": [("tower", "portal")[place % 2]], "split": "test"})
        masks.append({"image": place, "part": "concepts", "path": f"{place}-mask.png"})
    source = {"concepts": ["tower", "portal"]}
    made = Catalog(pl.DataFrame(rows), folder / "photos", source, masks=pl.DataFrame(masks))
    made.save(folder / "catalog")
    return folder


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=True)


def test_predict_and_evaluate(folder: Path, tmp_path: Path) -> None:
    made = run(
        *("segment", "predict", folder / "catalog", "-e", folder / "encoder", "-o", tmp_path / "out"),
        *("--paint", "--keep", "2", "--scales", "1,0.5", "--json"),
    )
    assert made.exit_code == 0, made.output
    facts = json.loads(made.output)
    assert facts["images"] == 3
    assert set(facts["regions"]) == {"tower", "portal"}
    assert len(list((tmp_path / "out" / "painted").iterdir())) == 3
    judged = run(
        *("segment", "evaluate", tmp_path / "out", folder / "catalog", "--json"),
        *("--per-photo", tmp_path / "photos.csv", "-o", tmp_path / "report.json"),
    )
    assert judged.exit_code == 0, judged.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert 0 <= report["values"]["mean IoU"] <= 1
    assert pl.read_csv(tmp_path / "photos.csv").columns == ["class", "path", "score", "pixels", "iou"]
    shown = run("segment", "evaluate", tmp_path / "out", folder / "catalog", "--split", "test")
    assert "tower" in shown.output
    assert "mean IoU" in shown.output
    words = run("show", tmp_path / "out")
    assert "regions" in words.output


def test_evaluate_segments_at_once(folder: Path) -> None:
    found = run("evaluate", "segmentation", folder / "catalog", "-e", folder / "encoder", "--json")
    assert found.exit_code == 0, found.output
    assert json.loads(found.output)["counts"]["photos_with_a_true_mask"] == 3
    oracle = run("evaluate", "segmentation", folder / "catalog", "--oracle", "30x36", "--json")
    assert json.loads(oracle.output)["values"]["mean IoU"] == 1


def test_the_background_power_is_chosen_where_masks_are_known(folder: Path) -> None:
    words = ("segment", "tune", folder / "catalog", "-e", folder / "encoder", "--keep", "labels")
    found = run(*words, "--powers", "0.01,1,30", "--precision", "float32", "--json")
    assert found.exit_code == 0, found.output
    tried = json.loads(found.output)
    assert list(tried["powers"]) == ["0.01", "1", "30"]
    shares = [figures["background IoU"] for figures in tried["powers"].values()]
    assert shares[0] > shares[2]
    assert tried["powers"][f"{tried['best']:g}"][tried["by"]] == max(
        figures[tried["by"]] for figures in tried["powers"].values()
    )
    words = ("evaluate", "segmentation", folder / "catalog", "-e", folder / "encoder", "--keep", "2")
    tuned = run(*("segment", "tune", *words[2:]), "--powers", "2", "--precision", "float32", "--json")
    judged = run(*words, "--background-power", "2", "--precision", "float32", "--json")
    assert json.loads(tuned.output)["powers"]["2"]["mean IoU of occurring"] == pytest.approx(
        json.loads(judged.output)["values"]["mean IoU of occurring"]
    )
    assert "best: --background-power" in run("segment", "tune", *words[2:], "--powers", "1,2").output
    wrong = run("segment", "tune", *words[2:], "--powers", "0")
    assert "give numbers above 0" in str(wrong.exception)


def test_one_photo_is_painted(folder: Path, tmp_path: Path) -> None:
    photo = folder / "photos" / "0.png"
    painted = tmp_path / "painted.jpg"
    made = run("segment", "predict", photo, "-e", folder / "encoder", "-o", painted, "--json")
    assert made.exit_code == 0, made.output
    assert json.loads(made.output)["out"] == str(painted)
    with Image.open(painted) as picture:
        assert picture.width >= 320
    again = run("segment", "predict", photo, "-e", folder / "encoder", "-o", painted)
    assert isinstance(again.exception, PerisphereError)
    assert "--overwrite" in str(again.exception)


def test_photos_become_a_catalog(folder: Path, tmp_path: Path) -> None:
    photos = [folder / "photos" / f"{place}.png" for place in range(2)]
    made = run("segment", "predict", *photos, "-e", folder / "encoder", "-o", tmp_path / "out")
    assert made.exit_code == 0, made.output
    assert "2 photos segmented" in made.output
    assert Catalog.load(tmp_path / "out").paths() == photos


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--keep", "some"), "--keep 'some'"),
        (("--scales", "1;2"), "--scales '1;2'"),
        (("--scales", "0"), "scales"),
        (("--background-power", "-1"), "background power"),
        (("--split", "gallery"), "gallery"),
    ],
)
def test_wrong_words_are_named_and_nothing_is_written(
    folder: Path, tmp_path: Path, words: tuple[str, ...], complaint: str
) -> None:
    made = run(
        "segment", "predict", folder / "catalog", "-e", folder / "encoder", "-o", tmp_path / "out", *words
    )
    assert isinstance(made.exception, PerisphereError)
    assert complaint in str(made.exception)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("segment", "predict", "{}/photos/0.png", "{}/photos/1.png", "-o", "x.png"), "x.png: a picture"),
        (
            ("segment", "predict", "{}/photos/0.png", "-o", "x.png", "--split", "a"),
            "--split is for a catalog",
        ),
        (("segment", "predict", "{}/photos/0.png", "-o", "x.png", "--paint"), "leave --paint out"),
        (("segment", "predict", "{}/photos/0.png", "-o", "x.png", "--keep", "labels"), "--keep labels"),
        (("evaluate", "segmentation", "{}/catalog", "--oracle", "7"), "one of --encoder"),
        (("evaluate", "segmentation", "{}/catalog", "--per-photo", "x.txt"), "x.txt"),
    ],
)
def test_words_that_do_not_go_together(folder: Path, words: tuple[str, ...], complaint: str) -> None:
    spelt = [word.format(folder) for word in words]
    made = run(*spelt, "-e", folder / "encoder")
    assert isinstance(made.exception, UsageError)
    assert complaint in str(made.exception)


def test_masks_that_are_none_and_an_oracle_of_no_size(folder: Path) -> None:
    plain = run("segment", "evaluate", folder / "catalog", folder / "catalog")
    assert "was not segmented" in str(plain.exception)
    for size in ("0x7", "7", "²x7", "99999999x99999999"):
        oracle = run("evaluate", "segmentation", folder / "catalog", "--oracle", size)
        assert f"--oracle {size!r}" in str(oracle.exception)


@pytest.mark.parametrize(
    "words",
    [("--refine",), ("--no-flip",), ("--background-power", "2"), ("--size", "64"), ("--keep", "best")],
)
def test_an_oracle_has_no_options_of_encoders(folder: Path, words: tuple[str, ...]) -> None:
    oracle = run("evaluate", "segmentation", folder / "catalog", "--oracle", "30x36", *words)
    assert isinstance(oracle.exception, UsageError)
    assert words[0].replace("no-", "") in str(oracle.exception)


def test_what_keep_means() -> None:
    assert (keep_of("best"), keep_of("3"), keep_of("0.5"), keep_of("labels")) == (1, 3, 0.5, "labels")
