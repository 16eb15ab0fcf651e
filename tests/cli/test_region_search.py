"""The command line: regions into an index, words, parts of photos, matching points."""

import json
import sys
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from typer.testing import CliRunner

from perisphere.cli.main import app

sys.path.append(str(Path(__file__).parents[1] / "search"))
import painted


def run(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, f"{result.output} {result.exception!r}"
    return result.output if code == 0 else f"{result.output}{result.exception}"


def told(*words: object) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert result.exit_code == 0, f"{result.output} {result.exception!r}"
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, an encoder, an index with regions, and what was segmented; no test changes them."""
    root = tmp_path_factory.mktemp("verbs")
    photos = painted.photos_at(root / "photos")
    encoder = painted.encoder_of()
    encoder.save(root / "encoder")
    painted.indexed(root / "index", photos, encoder).close()
    painted.segmented(photos, root / "masks").save(root / "segmented")
    said = run("index", "regions", root / "index", root / "segmented")
    assert said == "6 regions of 6 photos, 6 with a vector\n"
    return root


def test_info_tells_of_regions(root: Path) -> None:
    assert "6 of 6 photos, 6 with a vector: 1 window, 3 portal, 2 statue" in run(
        "index", "info", root / "index"
    )
    assert told("index", "info", root / "index")["regions"]["concepts"] == {
        "window": 1,
        "portal": 3,
        "statue": 2,
    }


def test_words_find_photos_and_show_their_regions(root: Path, tmp_path: Path) -> None:
    out = run("search", root / "index", "--text", "portal with statues", "--sheet", tmp_path / "sheet.jpg")
    assert "portal with statues (concepts: portal, statue)" in out
    assert "portal 8,16,40,64, statue 56,8,80,60" in out
    assert "6 images, words, captions and categories and regions" in out
    assert PIL.Image.open(tmp_path / "sheet.jpg").width > 500
    (query,) = told("search", root / "index", "--text", "Fenster", "-k", 1)["queries"]
    assert query["results"][0]["regions"][0]["concept"] == "window"
    assert query["concepts"] == ["window"]


def test_regions_alone_and_unknown_words(root: Path) -> None:
    both, alone = (
        told("search", root / "index", "--text", "portal", *by)["queries"][0]["results"]
        for by in ([], ["--by", "regions"])
    )
    assert [result["id"] for result in alone] == [1, 2, 6]
    assert all(result["regions"] for result in alone)
    assert {result["id"] for result in both} == {1, 2, 6}
    out = run("search", root / "index", "--text", "portal zeppelin")
    assert "no photo has 'zeppelin', it is left out" in out


def test_a_mapping_adds_words(root: Path, tmp_path: Path) -> None:
    mapping = tmp_path / "words.tsv"
    mapping.write_text("yett\ten\tportal\n", "utf-8")
    search = ("search", root / "index", "--text", "yett")
    assert told(*search)["queries"][0]["results"] == []
    (query,) = told(*search, "--mapping", mapping)["queries"]
    assert (query["concepts"], len(query["results"])) == (["portal"], 3)
    mapping.write_bytes(b"\x80\x04cposix\nsystem\n.")
    assert "words.tsv" in run(*search, "--mapping", mapping, code=1)


def test_a_part_of_a_photo(root: Path, tmp_path: Path) -> None:
    photo = root / "photos" / "0.png"
    sheet = tmp_path / "part.png"
    out = run("search", root / "index", photo, "--region", "8,16,40,64", "--exclude-self", "--sheet", sheet)
    assert "0.png [8,16,40,64]" in out
    assert "6 images, cosine, regions" in out
    assert sheet.is_file()
    shares = f"{8 / 96},{16 / 64},{40 / 96},1"
    (query,) = told("search", root / "index", photo, "--region", shares, "-k", 3)["queries"]
    assert query["region"] == pytest.approx([8, 16, 40, 64])
    assert [result["regions"][0]["concept"] for result in query["results"]] == ["portal"] * 3
    cut = told("search", root / "index", photo, "--region", shares, "--by", "vectors")
    assert cut["road"] == "exact"
    assert all(not result["regions"] for result in cut["queries"][0]["results"])
    each = run("search", root / "index", photo, root / "photos" / "1.png", "--each", "--region", "0,0,0.5,1")
    assert each.count("[0,0,0.5,1]") == 2


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (
            ["--text", "portal", "--by", "words", "--metric", "l2"],
            "--metric means nothing to a search by words",
        ),
        (["--text", "portal", "--exclude-self"], "--exclude-self means nothing"),
        (["--text", "portal", "--rerank", "aqe"], "--rerank means nothing"),
        (["--text", "portal", "--shortlist", "0"], "--shortlist means nothing"),
        (["--text", "the"], "no word that can be searched for"),
        (["PHOTO", "--by", "words"], "--by words searches with texts alone"),
        (["PHOTO", "--by", "regions"], "give --text or --region"),
        (["PHOTO", "--mapping", "words.tsv"], "words.tsv"),
        (["PHOTO", "--region", "1,2,3"], "give four numbers"),
        (["PHOTO", "PHOTO", "--region", "0,0,1,1"], "name one photo, or several with --each"),
        (["PHOTO", "--region", "0,0,1,1", "--region", "0,0,1,1"], "2 regions for 1 photos"),
        (["--region", "0,0,1,1", "--text", "portal"], "name one photo"),
        (
            ["PHOTO", "--region", "0,0,1,1", "--among", "photos"],
            "--among means nothing to a search by regions",
        ),
    ],
)
def test_what_does_not_go_together(root: Path, words: list[str], fault: str) -> None:
    words = [str(root / "photos" / "0.png") if word == "PHOTO" else word for word in words]
    result = CliRunner().invoke(app, ["search", str(root / "index"), *words])
    assert result.exit_code != 0
    assert fault in str(result.exception) + result.output


def test_a_catalog_without_regions_is_refused(root: Path, tmp_path: Path) -> None:
    catalog = painted.segmented(root / "photos", tmp_path / "masks")
    catalog.regions = None
    catalog.save(tmp_path / "plain")
    assert "segment predict" in run("index", "regions", root / "index", tmp_path / "plain", code=1)


def test_matching_points_of_two_photos(root: Path, tmp_path: Path) -> None:
    photos = [root / "photos" / name for name in ("0.png", "1.png")]
    drawn = tmp_path / "lines.png"
    out = run("match", *photos, "--encoder", root / "encoder", "-o", drawn, "--points", 12)
    assert f"matches: {drawn}" in out
    assert "pairs" in out
    assert PIL.Image.open(drawn).height > 400
    words = ("--layer", "shallow", "--verify", "fundamental", "--threshold", 5, "--size", 64)
    found = told("match", photos[0], photos[0], "--encoder", root / "encoder", *words)
    assert (found["layer"], found["verify"]) == ("shallow", "fundamental")
    assert found["agreeing"] is not None
    point = found["points"][0]
    assert abs(point["x1"] - point["x2"]) + abs(point["y1"] - point["y2"]) < 8
    assert 0.99 < point["score"] <= 1.0001


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["-o", "lines.bmp"], ".jpg or .png"),
        (["--threshold", "3"], "add --verify"),
        (["--verify", "affine"], "homography, fundamental"),
        (["--layer", "decoded"], "decoder"),
    ],
)
def test_options_of_match_that_mean_nothing(root: Path, words: list[str], fault: str) -> None:
    photo = str(root / "photos" / "0.png")
    result = CliRunner().invoke(app, ["match", photo, photo, "--encoder", str(root / "encoder"), *words])
    assert result.exit_code != 0
    assert fault in str(result.exception) + result.output
