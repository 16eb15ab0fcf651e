"""Tags and codebooks in the space of an encoder travel in its folder."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import perisphere.cli.show  # noqa: F401
from perisphere.cli.main import app
from perisphere.codes.codebooks import Codebooks
from perisphere.encoder import Encoder, Preprocessing, Whitening
from perisphere.encoder.change import change
from perisphere.encoder.companions import digest
from perisphere.encoder.fit_whitening import whiten
from perisphere.errors import PerisphereError
from perisphere.nets import NetSpec, build
from perisphere.tags import Tags

SIZE = Preprocessing(size=(4, 4), resize="squash")
DIM = 3


def net(dim: int = DIM):
    return build(NetSpec(backbone="pixels", input_size=4, projection=dim), seed=0)


@pytest.fixture
def tags() -> Tags:
    merges = {"beach": "beach", "Beaches": "beach", "sunset": "sunset", "2019": None}
    vectors = np.array([[1, 2, 3], [0, -1, 0.5]], np.float32)
    return Tags(("beach", "sunset"), vectors, np.array([7, 4]), merges, {"made": "by hand"})


@pytest.fixture
def codebooks() -> Codebooks:
    words = np.random.default_rng(0).standard_normal((2, 4, DIM)).astype(np.float32)
    return Codebooks(words, "additive", metric=np.eye(DIM, dtype=np.float32))


@pytest.fixture
def folder(tags, codebooks, tmp_path) -> Path:
    return Encoder(net(), SIZE, name="x", tags=tags, codebooks=codebooks).save(tmp_path / "encoder")


def test_they_come_back_whole(folder, tags, codebooks):
    found = Encoder.load(folder)
    assert found.tags is not None
    assert found.codebooks is not None
    assert found.tags.fingerprint == tags.fingerprint
    assert found.tags.lookup("Beaches") == "beach"
    np.testing.assert_array_equal(found.tags.vectors, tags.vectors)
    assert found.codebooks.fingerprint == codebooks.fingerprint
    np.testing.assert_array_equal(found.codebooks.words, codebooks.words)


def test_an_encoder_without_them_has_none(tmp_path):
    folder = Encoder(net(), SIZE, name="x").save(tmp_path / "plain")
    found = Encoder.load(folder)
    assert (found.classes, found.tags, found.codebooks) == (None, None, None)
    assert sorted(path.name for path in folder.iterdir()) == ["encoder.json", "weights.safetensors"]


def test_they_change_no_embedding(folder):
    encoder = Encoder.load(folder)
    assert Encoder(encoder.net, SIZE, name="x").identity == encoder.identity


def test_show_tells_of_them(folder):
    shown = CliRunner().invoke(app, ["show", str(folder), "--json"])
    facts = json.loads(shown.stdout)
    assert facts["tags"]["count"] == 2
    assert {**facts["codebooks"], "sha256": ""} == {
        "kind": "additive",
        "books": 2,
        "bits": 16,
        "unit": True,
        "sha256": "",
    }


def test_saving_over_itself_and_elsewhere(folder, tmp_path):
    encoder = Encoder.load(folder)
    encoder.save(folder, overwrite=True)
    again = Encoder.load(encoder.save(tmp_path / "copy"))
    assert again.tags is not None
    assert again.tags.names == ("beach", "sunset")


@pytest.mark.parametrize("part", ["tags", "codebooks"])
def test_those_of_another_space_are_refused(part, tags, codebooks):
    held = {"tags": tags, "codebooks": codebooks}[part]
    with pytest.raises(PerisphereError, match=r"of 3 numbers do not lie in the space .* gives 5"):
        Encoder(net(5), SIZE, name="x", **{part: held})


def test_what_is_missing_or_from_elsewhere_is_said(folder, codebooks):
    file = folder / "codebooks.npz"
    Codebooks(codebooks.words[::-1], "additive").save(file)
    with pytest.raises(PerisphereError, match=r"codebooks\.npz: damaged \(is not what"):
        Encoder.load(folder)
    file.unlink()
    with pytest.raises(PerisphereError, match=r"codebooks\.npz: not found; copy the encoder's folder whole"):
        Encoder.load(folder)


def test_a_changed_tag_file_is_said_and_litter_is_not(folder, tags):
    (folder / "tags" / ".DS_Store").write_bytes(b"litter")
    assert Encoder.load(folder).tags is not None
    Tags(tags.names, tags.vectors[::-1], tags.counts, tags.merges).save(folder / "tags", overwrite=True)
    with pytest.raises(PerisphereError, match=r"tags: damaged"):
        Encoder.load(folder)


def test_arrays_that_would_run_code_are_refused_even_with_the_right_hash(folder, tmp_path):
    ran = tmp_path / "ran"
    array = np.array([Runs(ran), None], object)
    with (folder / "tags" / "vectors.npy").open("wb") as file:
        np.save(file, array, allow_pickle=True)
    file = folder / "encoder.json"
    described = json.loads(file.read_text("utf-8"))
    described["tags"]["sha256"] = digest(folder / "tags")
    file.write_text(json.dumps(described), "utf-8")
    with pytest.raises(PerisphereError, match=r"tags"):
        Encoder.load(folder)
    assert not ran.exists()


class Runs:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["classes_sha256", "tags", "codebooks"])
@pytest.mark.parametrize("value", [3, [], {}, "x", {"sha256": None}])
def test_nonsense_in_the_description_is_an_error(folder, name, value):
    file = folder / "encoder.json"
    described = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**described, name: value}), "utf-8")
    with pytest.raises(PerisphereError, match=r"(damaged|not found).*copy"):
        Encoder.load(folder)


def test_another_input_keeps_them_and_another_space_drops_them(folder):
    encoder = Encoder.load(folder)
    assert change(encoder, name="y").tags is encoder.tags
    assert change(encoder, preprocessing={"size": (5, 5)}).codebooks is encoder.codebooks
    rows = np.random.default_rng(0).standard_normal((20, DIM)).astype(np.float32)
    white = whiten(encoder, rows)
    assert (white.tags, white.codebooks) == (None, None)
    held = Whitening(np.zeros(DIM, np.float32), np.eye(DIM, dtype=np.float32))
    both = Encoder(
        encoder.net, SIZE, name="z", whitening=held, tags=encoder.tags, codebooks=encoder.codebooks
    )
    for other in (change(both, keep_whitening=False), change(both, dim=2)):
        assert (other.tags, other.codebooks) == (None, None)
