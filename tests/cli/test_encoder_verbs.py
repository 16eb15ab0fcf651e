import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

import perisphere.cli.embed
import perisphere.cli.encoder  # noqa: F401
from perisphere.catalog import Catalog
from perisphere.cli.main import app
from perisphere.cli.numbers import number, numbers
from perisphere.encoder import Embeddings, Encoder
from perisphere.errors import PerisphereError, UsageError


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def made(*words) -> dict:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.exception
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A catalog of 24 photos of three classes, 18 of them for training, one with a box; a small encoder."""
    import polars as pl

    folder = tmp_path_factory.mktemp("verbs")
    rows = []
    for row in range(24):
        rng = np.random.default_rng(row % 3)
        coarse = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        photo = np.asarray(Image.fromarray(coarse).resize((120, 90), Image.Resampling.NEAREST)).copy()
        noise = np.random.default_rng(100 + row)
        photo[20:50, 30:70] = noise.integers(0, 256, (30, 40, 3))
        Image.fromarray(photo).save(folder / f"{row:02}.png")
        split = "train" if row < 18 else "test"
        box = [0, 0, 60, 90] if row == 20 else None
        rows.append({"path": f"{row:02}.png", "split": split, "label": f"c{row % 3}", "box": box})
    Catalog(pl.DataFrame(rows), folder).save(folder / "catalog")
    assert run("weights", "fresh", "small32", "-o", folder / "e").exit_code == 0
    assert run("embed", folder / "catalog", "-e", folder / "e", "-o", folder / "vectors").exit_code == 0
    return folder


def test_vlad_writes_an_encoder_that_embed_takes(folder, tmp_path) -> None:
    words = (
        "encoder",
        "vlad",
        folder / "catalog",
        "--words",
        3,
        "--keypoints",
        50,
        "--no-root",
        "--no-intra",
    )
    facts = made(*words, "-o", tmp_path / "v", "--power", "1/3", "--size", 100, "--sample", 300)
    encoder = Encoder.load(tmp_path / "v")
    assert (facts["dim"], facts["name"], encoder.dim) == (384, "vlad-3", 384)
    assert facts["identity"] == encoder.identity
    spec = encoder.net.spec
    assert (spec.keypoints, spec.root, spec.intra, spec.power) == (50, False, False, pytest.approx(1 / 3))
    assert encoder.preprocessing.size == (100, 100)
    assert facts["provenance"]["vocabulary"] == {"photos": 3, "sample": 300, "seed": 0}
    assert run("embed", folder / "catalog", "-e", tmp_path / "v", "-o", tmp_path / "x").exit_code == 0
    assert Embeddings.load(tmp_path / "x").dim == 384


def test_vlad_can_end_in_pca(folder, tmp_path) -> None:
    facts = made("encoder", "vlad", folder / "catalog", "--words", 2, "--dim", 5, "-o", tmp_path / "v")
    assert (facts["dim"], facts["name"]) == (5, "vlad-2-pca-5")
    assert Encoder.load(tmp_path / "v").whitening.dim == 5


@pytest.mark.parametrize("data", ["catalog", "vectors"])
@pytest.mark.parametrize("kind", ["pca", "learned"])
def test_whitening_is_learned_from_the_training_photos(folder, tmp_path, data: str, kind: str) -> None:
    words = ("encoder", "whiten", folder / "e", folder / data, "--dim", 4, "--kind", kind)
    facts = made(*words, "--shrinkage", 0.2, "-o", tmp_path / "w")
    assert facts["dim"] == 4
    assert facts["provenance"]["whitening"]["vectors"] == 18
    again = made(*words, "--shrinkage", 0.2, "-o", tmp_path / "w", "--overwrite", "--split", "test")
    assert again["provenance"]["whitening"]["vectors"] == 6
    assert again["identity"] != facts["identity"]
    encoder = Encoder.load(tmp_path / "w")
    vectors = encoder.encode([folder / "00.png", folder / "01.png"])
    assert vectors.shape == (2, 4)


def test_vectors_of_another_encoder_are_refused(folder, tmp_path) -> None:
    assert run("encoder", "change", folder / "e", "-o", tmp_path / "g", "--pooling", "gem").exit_code == 0
    result = run("encoder", "whiten", tmp_path / "g", folder / "vectors", "-o", tmp_path / "w")
    assert isinstance(result.exception, PerisphereError)
    assert "its vectors are of the encoder 'small32-untrained'" in str(result.exception)
    assert not (tmp_path / "w").exists()


def test_change_writes_another_pooling_scales_and_input(folder, tmp_path) -> None:
    scales = ("--scales", "1,1/sqrt(2),1/2")
    made("encoder", "change", folder / "e", "-o", tmp_path / "c", "--pooling", "gem", "--gem-p", 4, *scales,
         "--size", 48, "--resize", "long", "--name", "mine")  # fmt: skip
    encoder = Encoder.load(tmp_path / "c")
    assert (encoder.name, encoder.net.spec.pooling, encoder.net.spec.gem_p) == ("mine", "gem", 4)
    assert encoder.scales.factors == (1, pytest.approx(0.5**0.5), 0.5)
    assert encoder.scales.power == 4
    assert (encoder.preprocessing.size, encoder.preprocessing.resize) == ((48, 48), "long")
    made("encoder", "change", tmp_path / "c", "-o", tmp_path / "p", "--power", 1)
    made("encoder", "change", tmp_path / "p", "-o", tmp_path / "d", "--preset", "legacy")
    other = Encoder.load(tmp_path / "d")
    assert other.scales.power == 1
    assert (other.preprocessing.size, other.preprocessing.mean) == ((600, 600), (0, 0, 0))
    made("encoder", "change", tmp_path / "c", "-o", tmp_path / "r", "--regional", "--scales", "1")
    assert Encoder.load(tmp_path / "r").net.spec.regional


def test_a_whitening_is_shortened_or_taken_off(folder, tmp_path) -> None:
    made("encoder", "whiten", folder / "e", folder / "vectors", "-o", tmp_path / "w")
    assert made("encoder", "change", tmp_path / "w", "-o", tmp_path / "s", "--dim", 2)["dim"] == 2
    off = made("encoder", "change", tmp_path / "w", "-o", tmp_path / "o", "--no-whitening")
    assert off["identity"] == Encoder.load(folder / "e").identity


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ((), UsageError, "nothing to change"),
        (("--name", "x", "--dim", "3"), UsageError, "--dim needs a whitening"),
        (("--gem-p", "0"), UsageError, "--gem-p: 0.0 should be greater"),
        (("--scales", "0"), UsageError, "--scales: 0.0 should be greater"),
        (("--scales", "1,,2"), UsageError, "'' is no number"),
        (("--scales", "__import__('os')"), UsageError, "is no number: write 0.5, 1/2"),
        (("--power", "0"), UsageError, "--power: 0.0 should be greater"),
        (("--power", "1/0"), UsageError, "divides by zero"),
        (("--pooling", "rmac", "--regional"), UsageError, "rmac is regional already"),
        (("--no-whitening",), UsageError, "--no-whitening: the encoder 'small32-untrained' has none"),
    ],
)
def test_wrong_words_are_named_and_nothing_is_written(folder, tmp_path, words, error, message) -> None:
    result = run("encoder", "change", folder / "e", "-o", tmp_path / "c", *words)
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
    assert not (tmp_path / "c").exists()


def test_too_many_dimensions_are_an_error_with_the_number_there_is(folder, tmp_path) -> None:
    result = run("encoder", "whiten", folder / "e", folder / "vectors", "-o", tmp_path / "w", "--dim", 50)
    assert isinstance(result.exception, PerisphereError)
    assert "the 18 vectors vary in 17 directions" in str(result.exception)
    result = run("encoder", "vlad", folder / "catalog", "-o", tmp_path / "v", "--power", "2")
    assert "--power: 2.0 should be less than or equal to 1" in str(result.exception)


def test_boxes_are_embedded_unless_the_whole_is_wanted(folder, tmp_path) -> None:
    words = ("embed", folder / "catalog", "-e", folder / "e")
    assert made(*words, "-o", tmp_path / "cut")["run"]["boxes"] == 1
    assert made(*words, "-o", tmp_path / "whole", "--whole")["run"]["boxes"] == 0
    cut, whole = (Embeddings.load(tmp_path / name).vectors for name in ("cut", "whole"))
    assert np.flatnonzero(np.abs(cut - whole).max(axis=1) > 1e-4).tolist() == [20]


def test_pixels_have_no_map_to_pool(folder, tmp_path) -> None:
    run("weights", "fresh", "pixels", "--size", "8", "-o", tmp_path / "pixels")
    for words in (("--pooling", "gem"), ("--regional",)):
        result = run("encoder", "change", tmp_path / "pixels", "-o", tmp_path / "made", *words)
        assert "pixels has no map to pool" in str(result.exception)
    assert not (tmp_path / "made").exists()


def test_vlad_has_no_weights_to_draw(folder, tmp_path) -> None:
    assert run("encoder", "vlad", folder / "catalog", "--words", 2, "-o", tmp_path / "v").exit_code == 0
    legacy = run("encoder", "change", tmp_path / "v", "-o", tmp_path / "l", "--preset", "legacy")
    assert "SIFT looks at brightness as it is" in str(legacy.exception)
    result = run("weights", "fresh", tmp_path / "v", "-o", tmp_path / "f")
    assert isinstance(result.exception, UsageError)
    assert "no weights to draw" in str(result.exception)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), (" .5 ", 0.5), ("2.", 2), ("1/2", 0.5), ("sqrt(2)", math.sqrt(2)), ("1 / sqrt( 2 )", 0.5**0.5),
     ("sqrt(1)/4", 0.25)],
)  # fmt: skip
def test_numbers_as_people_write_them(text: str, value: float) -> None:
    assert number(text) == pytest.approx(value)


@given(st.text(max_size=12))
def test_any_other_text_is_an_error_and_never_runs(text: str) -> None:
    try:
        values = numbers(text)
    except UsageError:
        return
    assert re.fullmatch(r"[\d.\s,/()sqrt]+", text)
    assert all(value >= 0 for value in values)
