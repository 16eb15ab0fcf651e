"""Layout ``tags``: what users write is as noisy as documented, and what is true of it stands beside it."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perisphere.catalog.scenes import Photo, take_photo, write_scenes
from perisphere.catalog.scenes.concepts import LEAST, concepts, mentionable
from perisphere.catalog.scenes.users import RATES, Tag, slip, user, write_tags
from perisphere.catalog.scenes.words import CHATTER, LANGUAGES, WORDS, plural
from perisphere.errors import UsageError

WORLD = {"layout": "tags", "landmarks": 2, "photos": 10, "size": 32, "seed": 4, "workers": 1}


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("album") / "world"
    summary = write_scenes(out, **WORLD)  # type: ignore[arg-type]
    assert summary.photos_folder == str(out / "tags")
    return out


@pytest.fixture(scope="module")
def lines(album: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (album / "tags" / "tags.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def photo() -> Photo:
    return take_photo(0, 0, 0, size=32)


@pytest.fixture(scope="module")
def written(photo: Photo) -> list[tuple[Tag, ...]]:
    """What is written under 2,500 photos of one thing."""
    return [write_tags(replace(photo, number=number), 0) for number in range(2500)]


def test_a_line_a_photo_with_split_label_and_concepts(album: Path, lines) -> None:
    assert {(album / "tags" / line["image"]).is_file() for line in lines} == {True}
    assert len({line["image"] for line in lines}) == 20
    assert Counter(line["split"] for line in lines) == {"train": 10, "gallery": 8, "query": 2}
    assert len({line["label"] for line in lines}) == 2
    assert all(set(line["concepts"]) <= set(WORDS) for line in lines)
    assert {"gothic", "church"} <= set(lines[0]["concepts"])
    assert all(line["caption"].endswith(".") for line in lines)


def test_what_is_true_of_every_tag_lies_beside(album: Path, lines) -> None:
    truth = pl.read_csv(album / "truth" / "tags.csv", schema_overrides={"thing": pl.String, "tag": pl.String})
    of = {line["image"]: line for line in lines}
    assert dict(truth.group_by("path").len().rows()) == {
        image: len(line["tags"]) for image, line in of.items() if line["tags"]
    }
    for path, tag, kind, thing, language, _ in truth.rows():
        assert tag in of[path]["tags"]
        assert language in ("en", *LANGUAGES)
        if kind == "false":
            assert thing not in of[path]["concepts"]
        assert (kind in ("concept", "false")) == (thing in WORDS)
    users = json.loads((album / "truth" / "users.json").read_text("utf-8"))
    assert users["rates"]["misspelt"] == RATES.misspelt
    assert users["words"]["bridge"]["de"] == ["Brücke"]


def test_the_same_seed_gives_the_same_bytes(album: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path / "again", **{**WORLD, "truth": False})  # type: ignore[arg-type]
    assert not (tmp_path / "again" / "truth").exists()
    for file in (album / "tags").rglob("*.*"):
        assert (tmp_path / "again" / file.relative_to(album)).read_bytes() == file.read_bytes()


def test_two_photos_leave_no_split_for_the_third(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--photos 2: --layout tags takes at least 3"):
        write_scenes(tmp_path / "few", layout="tags", photos=2, landmarks=1)


def test_a_concept_is_what_a_picture_shows(photo: Photo) -> None:
    found = concepts(photo)
    assert found[:2] == (photo.landmark.family, photo.landmark.style)
    assert set(found) <= {
        photo.landmark.family,
        photo.landmark.style,
        photo.light,
        *photo.visible_parts(LEAST),
    }
    assert not {WORDS[name].kind for name in found} & {"common", "colour"}
    assert set(found) <= set(mentionable(photo))
    night, noon = replace(photo, light="night"), replace(photo, light="noon")
    assert "night" in concepts(night)
    assert "sunny" in mentionable(noon)
    assert "sunny" not in mentionable(night)
    assert not {"noon", "sunny"} & set(concepts(noon))


def test_tags_are_as_noisy_as_documented(photo: Photo, written: list[tuple[Tag, ...]]) -> None:
    tags = [tag for row in written for tag in row]
    tagged = sum(map(bool, written))
    assert 1 - tagged / len(written) == pytest.approx(RATES.untagged, abs=0.015)
    true = [tag for tag in tags if tag.kind == "concept"]
    mentioned = Counter(tag.thing for tag in true)
    for thing in concepts(photo):
        expected = RATES.mentioned[WORDS[thing].kind]
        assert mentioned[thing] / tagged == pytest.approx(expected, abs=0.03), thing
    foreign = np.mean([tag.language != "en" for tag in true])
    assert foreign == pytest.approx(RATES.foreign * RATES.own_language, abs=0.06)
    assert np.mean(["misspelt" in tag.changes for tag in true]) == pytest.approx(RATES.misspelt, abs=0.02)
    for kind, mean in (("false", RATES.false), ("chatter", RATES.chatter)):
        assert sum(tag.kind == kind for tag in tags) / tagged == pytest.approx(mean, rel=0.2), kind
    assert not {tag.thing for tag in tags if tag.kind == "false"} & set(mentionable(photo))


def test_every_text_stands_once_and_says_what_it_means(written: list[tuple[Tag, ...]]) -> None:
    for row in written[:500]:
        assert len({tag.text for tag in row}) == len(row)
        for tag in row:
            if tag.kind in ("concept", "false") and not tag.changes:
                word = WORDS[tag.thing]
                known = word.english if tag.language == "en" else word.foreign[tag.language]
                assert _bare(tag.text) == _bare(known[0])
            if tag.kind == "chatter":
                assert _bare(tag.text) in map(_bare, CHATTER)


def test_a_user_keeps_the_same_habits() -> None:
    assert user(0, 7) == user(0, 7)
    everyone = [user(0, number) for number in range(200)]
    assert {who.language for who in everyone} == {"en", *LANGUAGES}
    assert np.mean([who.language != "en" for who in everyone]) == pytest.approx(RATES.foreign, abs=0.1)
    assert all(len(set(who.chatter)) == 6 for who in everyone)


@given(st.text("abcdeé", min_size=4, max_size=12), st.integers(0, 2**32 - 1))
def test_a_slip_is_always_another_word(word: str, seed: int) -> None:
    wrong = slip(word, np.random.default_rng(seed))
    assert wrong != word
    assert wrong[0] == word[0]
    assert abs(len(wrong) - len(word)) <= 1


def test_words_of_every_language_and_english_plurals() -> None:
    assert all(set(word.foreign) == set(LANGUAGES) for word in WORDS.values())
    assert all(
        text and text == text.strip()
        for w in WORDS.values()
        for text in (*w.english, *sum(w.foreign.values(), ()))
    )
    found = {
        word: plural(word) for word in ("spire", "church", "balcony", "stairs", "rose window", "fortress")
    }
    assert list(found.values()) == ["spires", "churches", "balconies", "stairs", "rose windows", "fortresses"]


def _bare(text: str) -> str:
    return "".join(c for c in text.lower() if c not in " _-")
