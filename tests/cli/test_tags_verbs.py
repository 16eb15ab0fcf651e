import json
import pickle
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

import perisphere.cli.tags  # noqa: F401
from perisphere.catalog import Catalog
from perisphere.cli.main import app
from perisphere.errors import PerisphereError, UsageError
from perisphere.tags import Tags

ROWS = [
    *[("train", ["Sunset", "sea"], "A red sky over the sea", ["nature", "coast"], ["sky"])] * 6,
    *[("train", ["sunsets", "beach", "2008"], "Towels on the beach", ["nature", "coast"], ["sky", "sand"])]
    * 6,
    *[("train", ["skyline", "night"], None, ["city"], ["building"])] * 6,
    *[("test", ["secret", "sea"], "secret", [], [])] * 6,
]


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["tags", *map(str, words)])


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    splits, tags, captions, categories, concepts = zip(*ROWS, strict=True)
    columns = {"path": [f"{row}.jpg" for row in range(len(ROWS))], "split": splits, "tags": tags}
    columns |= {"caption": captions, "categories": categories, "concepts": concepts}
    Catalog(pl.DataFrame({name: list(column) for name, column in columns.items()}), tmp_path).save(
        tmp_path / "c"
    )
    return tmp_path / "c"


def test_tags_are_built_of_the_photos_to_train_on_and_told(catalog: Path, tmp_path: Path) -> None:
    result = run("build", catalog, "-o", tmp_path / "t")
    assert result.exit_code == 0, result.exception
    for line in ("18, 18 of them with a tag", "sunsets → sunset", "dropped: number", "vectors: learned"):
        assert line in result.stdout
    tags = Tags.load(tmp_path / "t")
    assert set(tags.names) == {"sunset", "sea", "beach", "skyline", "night"}
    assert tags.about["split"] == "train"
    assert "secret" not in tags.merges
    everything = run("build", catalog, "-o", tmp_path / "all", "--split", "test", "--min-count", 6, "--json")
    assert isinstance(everything.exception, PerisphereError)  # both tags stand on all six photos


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("captions", {"red", "sky", "sea", "towel", "beach"}),
        ("categories", {"nature", "coast", "city"}),
        ("concepts", {"sky", "sand", "building"}),
        ("tags,concepts", {"sunset", "sea", "beach", "skyline", "night", "sky", "sand", "building"}),
    ],
)
def test_words_come_from_the_named_columns(
    catalog: Path, tmp_path: Path, source: str, names: set[str]
) -> None:
    assert run("build", catalog, "-o", tmp_path / "t", "--from", source).exit_code == 0
    found = {name.removesuffix("s") for name in Tags.load(tmp_path / "t").names}
    assert found == names


def test_vectors_of_a_file_and_the_account_as_json(catalog: Path, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("sunset 1 0\nsea 0 1\nBeach 1 1\nskyline 2 -9\n")
    result = run("build", catalog, "-o", tmp_path / "t", "--vectors", tmp_path / "v.txt", "--json")
    found = json.loads(result.stdout)
    assert (found["tags"], found["dim"], found["vectors"]) == (4, 2, "v.txt")
    assert found["without_vector"].keys() == {"night"}
    assert found["spelled_otherwise"] == {"beach": "Beach"}
    assert found["dropped"] == {"number": 1, "no vector": 1}
    assert found["merged"] == {"singular, plural": [{"spelling": "sunsets", "tag": "sunset"}]}
    plain = run("build", catalog, "-o", tmp_path / "p", "--vectors", tmp_path / "v.txt", "--no-enhance")
    assert plain.exit_code == 0
    sunset = Tags.load(tmp_path / "p")
    np.testing.assert_array_equal(sunset.vectors[sunset.row_of["sunset"]], [1, 0])
    moved = Tags.load(tmp_path / "t")
    assert moved.vectors[moved.row_of["sunset"]][1] > 0.1


def test_learned_vectors_move_only_where_it_is_asked_for(catalog: Path, tmp_path: Path) -> None:
    made = {}
    for name, words in {
        "plain": (),
        "off": ("--no-enhance",),
        "on": ("--enhance",),
        "far": ("--strength", "0.6"),
    }.items():
        assert run("build", catalog, "-o", tmp_path / name, *words).exit_code == 0
        made[name] = Tags.load(tmp_path / name)
    np.testing.assert_array_equal(made["plain"].vectors, made["off"].vectors)
    assert [made[name].about["strength"] for name in made] == [0, 0, 0.3, 0.6]
    refused = run("build", catalog, "-o", tmp_path / "x", "--no-enhance", "--strength", "0.6")
    assert isinstance(refused.exception, UsageError)
    assert "drop one" in str(refused.exception)
    assert not (tmp_path / "x").exists()


def test_tags_are_shown_and_compared(catalog: Path, tmp_path: Path) -> None:
    run("build", catalog, "-o", tmp_path / "t")
    shown = run("show", tmp_path / "t", "--top", 2)
    assert "5 tags of 7 words" in shown.stdout
    assert "sunset  Sunset, sunsets" in shown.stdout
    facts = json.loads(run("show", tmp_path / "t", "--json").stdout)
    assert facts["commonest"][0] == {"tag": "sunset", "photos": 12, "words": ["Sunset", "sunsets"]}
    assert facts["merged"] == {"case, accents, separators": 1, "singular, plural": 1}
    near = run("nearest", tmp_path / "t", "skyline", "nihgtt", "-k", 2, "--json")
    found = json.loads(near.stdout)
    assert [item["tag"] for item in found["nearest"]] == ["skyline", "night"]
    assert found["unknown"] == ["nihgtt"]
    assert "no tag is called 'nihgtt' (nearest: night)" in near.stderr
    assert "1.0000  skyline  (6 photos)" in run("nearest", tmp_path / "t", "SKYLINE").stdout


def test_words_that_would_steer_a_terminal_are_escaped(tmp_path: Path) -> None:
    merges = {"sky": "sky", "Sky\x1b[2J": "sky", "\x1b]0;x\x07": None}
    about = {"from": ["tags\x1b[2J", 3]}
    reasons = {"\x1b]0;x\x07": "bad\x1b[2J"}
    Tags(("sky", "\x1b[1m"), np.eye(2, dtype=np.float32), np.array([2, 1]), merges, about, reasons).save(
        tmp_path / "t"
    )
    for words in (("show", tmp_path / "t"), ("nearest", tmp_path / "t", "sky")):
        result = run(*words)
        assert result.exit_code == 0, result.exception
        assert "\x1b" not in result.stdout
        assert "\\x1b[1m" in result.stdout


def test_published_tags_are_imported(tmp_path: Path) -> None:
    root = tmp_path / "flickr25k"
    (root / "tags").mkdir(parents=True)
    (root / "common_tags.txt").write_text("sky 845\nskies 60\nnikon 3\n")
    (root / "tags/FinalTagEmbs.txt").write_text("1 2\n")
    (root / "tags/TagIdMergeMap.pkl").write_bytes(pickle.dumps({0: [0, 1], -1: [2]}))
    result = run("import", root, "-o", tmp_path / "t")
    assert "1 tags of 3 words, 2 dimensions" in result.stdout
    assert Tags.load(tmp_path / "t").merges == {"sky": "sky", "skies": "sky", "nikon": None}
    assert json.loads(run("import", root, "-o", tmp_path / "t", "--overwrite", "--json").stdout)["words"] == 3


def test_wrong_words_name_the_option_and_leave_everything_as_it_was(catalog: Path, tmp_path: Path) -> None:
    def fails(*words: object) -> str:
        error = run(*words).exception
        assert isinstance(error, PerisphereError)
        return str(error)

    out = tmp_path / "t"
    error = run("build", catalog, "-o", out, "--from", "caption").exception
    assert isinstance(error, UsageError)
    assert "Did you mean 'captions'" in str(error)
    assert "no image is in split 'val'" in fails("build", catalog, "-o", out, "--split", "val")
    assert "Lower --min-count" in fails("build", catalog, "-o", out, "--min-count", 99)
    assert "cannot be read" in fails("build", catalog, "-o", out, "--vectors", tmp_path / "none")
    assert not out.exists()
    assert run("build", catalog, "-o", out).exit_code == 0
    before = (out / "vectors.npy").read_bytes()
    assert "exists already" in fails("build", catalog, "-o", out, "--min-count", 1)
    assert "Lower --min-count" in fails("build", catalog, "-o", out, "--min-count", 99, "--overwrite")
    assert "did not write" in fails("build", catalog, "-o", catalog.parent, "--overwrite")
    assert (out / "vectors.npy").read_bytes() == before
    assert "not a folder of tags" in fails("show", catalog)
    assert "nearest: skyline" in fails("nearest", out, "skylin")
