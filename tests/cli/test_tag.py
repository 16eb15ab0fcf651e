"""``perisphere search --text`` and ``perisphere tag`` from the outside."""

import json
from pathlib import Path

import numpy as np
import pytest
from searchable import make
from typer.testing import CliRunner, Result

from perisphere.cli.main import app
from perisphere.encoder import Encoder
from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index
from perisphere.tags import Tags


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index whose encoder knows no tags, the tags, and an encoder with them."""
    root = tmp_path_factory.mktemp("world")
    _, encoder = make(root)
    vectors = encoder.encode([root / "dark" / "0.png", root / "light" / "0.png"])
    tags = Tags(("dark sea", "light"), vectors, np.array([4, 4]), {"Lumière": "light"})
    tags.save(root / "tags")
    Encoder(encoder.net, encoder.preprocessing, name="taught", tags=tags).save(root / "taught")
    with Index.create(root / "taught-index", encoder=Encoder.load(root / "taught")):
        pass
    return root


def call(*words: object) -> Result:
    return CliRunner().invoke(app, list(map(str, words)))


def test_a_text_finds_images_and_unknown_words_stand_on_stderr(world: Path) -> None:
    result = call("search", world / "index", "--text", "lihgt dark sea", "--tags", world / "tags", "-k", 3)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "lihgt dark sea (tags: dark sea)"
    assert lines[2].split()[-1] == "dark/0.png"
    assert "'lihgt'" in result.stderr
    assert "Nearest: light" in result.stderr


def test_json_filter_sheet_and_a_photo_beside(world: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.jpg"
    options = ["--tags", world / "tags", "--filter", "label == 'dark'", "--sheet", sheet, "--min-score", "-1"]
    photo = world / "light" / "1.png"
    result = call("search", world / "index", photo, "--text", "lumiere", *options, "--json", "-k", 2)
    told = json.loads(result.stdout)["queries"]
    assert [query["text"] for query in told] == [None, "lumiere"]
    assert told[1]["tags"] == ["light"]
    assert [found["label"] for found in told[1]["results"]] == ["dark", "dark"]
    assert sheet.is_file()
    assert result.stderr == ""


def test_wrong_words_about_texts(world: Path) -> None:
    refused = call("search", world / "index", world / "dark" / "0.png", "--tags", world / "tags")
    assert isinstance(refused.exception, UsageError)
    assert "--text" in str(refused.exception)
    none = call("search", world / "index", "--text", "light", "--by", "vectors")
    assert isinstance(none.exception, PerisphereError)
    assert "knows no tags" in str(none.exception)
    absent = call("search", world / "index", "--text", "light", "--tags", world / "nothing")
    assert isinstance(absent.exception, PerisphereError)
    assert "nothing" in str(absent.exception)


def test_photos_are_tagged_by_encoder_index_or_given_tags(world: Path) -> None:
    photos = [world / "dark" / "1.png", world / "light" / "2.png"]
    by_encoder = call("tag", *photos, "--encoder", world / "taught", "-k", 1)
    assert by_encoder.exit_code == 0, by_encoder.output
    lines = by_encoder.stdout.splitlines()
    assert lines[0] == str(photos[0])
    assert lines[1].split() == ["tag", "score"]
    assert lines[2].split()[:2] == ["dark", "sea"]
    by_index = call("tag", *photos, "--index", world / "taught-index", "--json")
    given = call("tag", *photos, "--index", world / "index", "--tags", world / "tags", "--json")
    carried = call("tag", *photos, "--index", world / "index", "--tags", world / "taught", "--json")
    assert json.loads(carried.stdout) == json.loads(given.stdout)
    told = json.loads(given.stdout)
    assert told == json.loads(by_index.stdout)
    assert [image["tags"][0]["tag"] for image in told["images"]] == ["dark sea", "light"]
    assert "no tag" in call("tag", photos[0], "-e", world / "taught", "--min-score", 2).stdout


@pytest.mark.parametrize("options", [[], ["--encoder", "e", "--index", "i"]])
def test_one_of_encoder_and_index(world: Path, options: list[str]) -> None:
    refused = call("tag", world / "dark" / "0.png", *options)
    assert isinstance(refused.exception, UsageError)
    assert "one of --encoder FOLDER and --index FOLDER" in str(refused.exception)


def test_an_encoder_without_tags_and_a_file_that_is_no_photo(world: Path) -> None:
    plain = call("tag", world / "dark" / "0.png", "--index", world / "index")
    assert isinstance(plain.exception, PerisphereError)
    assert "method: quantization" in str(plain.exception)
    wrong = call("tag", world / "tags" / "tags.json", "--encoder", world / "taught")
    assert isinstance(wrong.exception, PerisphereError)
    assert "tags.json" in str(wrong.exception)
