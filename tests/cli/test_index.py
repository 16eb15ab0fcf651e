import json
import os
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import polars as pl
import pytest
from typer.testing import CliRunner

import perisphere.encoder
from perisphere.catalog.readers import read
from perisphere.cli.main import app
from perisphere.encoder import Encoder, Preprocessing, embed
from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index
from perisphere.nets import NetSpec, build


def invoke(*words: object):
    return CliRunner().invoke(app, ["index", *map(str, words)])


def run(*words: object) -> str:
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def answer(*words: object):
    return json.loads(run(*words, "--json"))


def photos(root: Path, seed: int, names: list[str]) -> Path:
    """Six photos of each name: noise over a pattern of its own."""
    random = np.random.default_rng(seed)
    for name in names:
        (root / name).mkdir(parents=True)
        pattern = np.random.default_rng(len(name)).integers(0, 200, (24, 24, 3))
        for number in range(6):
            pixels = pattern + random.integers(0, 55, (24, 24, 3))
            PIL.Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Photos, two encoders, a catalog and its embeddings."""
    root = tmp_path_factory.mktemp("world")
    photos(root / "photos", 0, ["dome", "tower", "bridge"])
    photos(root / "more", 1, ["dome", "castles"])
    for name, size in (("encoder", 6), ("other", 5)):
        net = build(NetSpec(backbone="pixels", input_size=size))
        Encoder(net, Preprocessing(size=(size, size)), name=name).save(root / name)
    catalog = read("folders", root / "photos")
    catalog.save(root / "catalog")
    embed(catalog, Encoder.load(root / "encoder"), root / "vectors")
    return root


@pytest.fixture
def folder(world, tmp_path) -> Path:
    run("create", tmp_path / "index", world / "vectors", "--encoder", world / "encoder")
    return tmp_path / "index"


@pytest.mark.parametrize("source", ["vectors", "catalog", "photos"])
def test_every_source_makes_the_same_index(world, tmp_path, source):
    facts = answer("create", tmp_path / "index", world / source, "--encoder", world / "encoder")
    assert (facts["images"], facts["metric"], facts["encoder"]["name"]) == (18, "cosine", "encoder")
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    with Index.open(tmp_path / "index") as index:
        photo = world / "photos" / "tower" / "2.png"
        found = index.search(index.encoder().encode([photo]), 3)
        row = index.rows([found.ids[0, 0]]).row(0, named=True)
        assert Path(row["root"]) / row["path"] == photo
        assert index.rows(found.ids[0])["label"].to_list() == ["tower"] * 3
        assert index.verify() == []


def test_the_index_needs_nothing_but_its_folder(world, tmp_path, folder):
    folder.rename(tmp_path / "moved")
    assert answer("add", tmp_path / "moved", world / "more") == {
        "added": 12,
        "ids": list(range(19, 31)),
        "images": 30,
    }
    assert [path.name for path in tmp_path.iterdir()] == ["moved"]


@pytest.mark.parametrize("between", ["nothing", "another photo", "a changed photo", "another encoder"])
def test_what_is_embedded_is_kept_until_the_rows_are_in(world, tmp_path, monkeypatch, between):
    source = photos(tmp_path / "photos", 2, ["dome", "tower"])
    (source / "dome" / "0.png").write_bytes(b"not a photo")
    encoder = world / "encoder"
    words = ["create", tmp_path / "index", source, "--encoder"]
    with monkeypatch.context() as patch:
        patch.setattr(Index, "add", None)
        assert invoke(*words, encoder).exit_code
    if between == "another photo":
        shutil.copy(source / "dome" / "1.png", source / "dome" / "7.png")
    elif between == "a changed photo":
        shutil.copy(source / "dome" / "2.png", source / "dome" / "1.png")
    elif between == "another encoder":
        encoder = world / "other"
    embedded = []
    run_embed = perisphere.encoder.embed
    monkeypatch.setattr("perisphere.encoder.embed", lambda *w, **o: embedded.append(1) or run_embed(*w, **o))
    assert answer(*words, encoder)["images"] == 11 + (between == "another photo")
    assert bool(embedded) == (between != "nothing")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index", "photos"]


def test_a_split_alone_can_be_indexed(world, tmp_path):
    from perisphere.encoder import Embeddings

    whole = Embeddings.load(world / "vectors")
    rows = whole.rows.with_columns(split=np.array(["index", "test"] * 9))
    Embeddings(np.array(whole.vectors), rows, root=whole.root, encoder=whole.encoder).save(
        tmp_path / "vectors"
    )
    assert answer("create", tmp_path / "index", tmp_path / "vectors", "--split", "index")["images"] == 9


def test_info_says_what_there_is(folder):
    text = run("info", folder)
    assert "18 x 108" in text
    assert "cosine" in text
    assert "exact" in text
    assert answer("info", folder)["tombstones"] == 0


def test_images_are_removed_by_id_and_by_filter(folder):
    assert answer("remove", folder, "--ids", "1,2") == {"removed": 2, "images": 16}
    assert answer("remove", folder, "--filter", "label == 'tower'") == {"removed": 6, "images": 10}
    assert "8 removed" in run("info", folder)
    assert answer("compact", folder)["reclaimed"] == 8
    assert answer("verify", folder) == {"images": 10, "problems": []}


def test_verify_fails_on_a_damaged_index(folder):
    import sqlite3

    connection = sqlite3.connect(folder / "index.sqlite")
    with connection:
        connection.execute("DELETE FROM images WHERE id = 5")
    connection.close()
    result = invoke("verify", folder)
    assert isinstance(result.exception, PerisphereError)
    assert "the first with id 5" in result.stdout


def test_duplicates_are_shown(world, tmp_path):
    from perisphere.encoder import Embeddings

    whole = Embeddings.load(world / "vectors")
    twice = np.concatenate([whole.vectors, whole.vectors[:2]])
    rows = whole.rows[[*range(18), 0, 1]]
    Embeddings(twice, rows, root=whole.root, encoder=whole.encoder).save(tmp_path / "vectors")
    run("create", tmp_path / "index", tmp_path / "vectors", "--encoder", world / "encoder")
    groups = answer("duplicates", tmp_path / "index", "--threshold", "0.99999")
    assert [[member["id"] for member in group] for group in groups] == [[1, 19], [2, 20]]
    assert "2 groups" in run("duplicates", tmp_path / "index", "--threshold", "0.99999")
    photo = world / "photos" / "bridge" / "1.png"
    near = answer("duplicates", tmp_path / "index", "--image", photo, "--threshold", "0.99999")
    assert [result["id"] for result in near] == [2, 20]
    other = world / "more" / "castles" / "0.png"
    assert "no near-duplicate" in run(
        "duplicates", tmp_path / "index", "--image", other, "--threshold", "0.999"
    )


def test_an_index_is_calibrated(folder):
    assert "pairs of labels" in run("calibrate", folder)
    assert "calibrated     on labels" in run("info", folder)
    assert answer("calibrate", folder, "--source", "copies")["source"] == "copies"


def test_the_splits_of_a_calibration_are_told(world, tmp_path):
    from perisphere.encoder import Embeddings

    whole = Embeddings.load(world / "vectors")
    rows = whole.rows.with_columns(split=np.array(["index", "test", "train"] * 6))
    split = Embeddings(np.array(whole.vectors), rows, root=whole.root, encoder=whole.encoder)
    split.save(tmp_path / "vectors")
    folder = tmp_path / "index"
    run("create", folder, tmp_path / "vectors", "--encoder", world / "encoder")
    assert "measured on splits index, test\n" in run("calibrate", folder)
    assert "calibrated     on labels, splits index, test\n" in run("info", folder)
    text = run("calibrate", folder, "--split", "train")
    assert "measured on split train\n" in text
    assert "do worse on new photos" in text
    assert answer("calibrate", folder, "--source", "copies", "--split", "test")["splits"] == ["test"]
    with pytest.raises(UsageError, match="'val' is not in this index"):
        raise failure("calibrate", folder, "--split", "val")


def test_names_cannot_break_the_lines(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    with Index.create(folder, 4) as index:
        rows = pl.DataFrame({"path": ["a\nb.png", "c\x1b[31m.png"], "label": ["two\nlines", None]})
        index.add(np.ones((2, 4), np.float32), rows)
    lines = run("duplicates", folder).splitlines()
    assert lines[1:3] == [r"  1  a\nb.png  two\nlines", r"  2  c\x1b[31m.png"]
    assert run("info", folder).splitlines()[0].endswith(r"caf\xe9")


def failure(*words: object) -> BaseException:
    result = invoke(*words)
    assert result.exit_code != 0
    return result.exception


def test_wrong_words_are_named(world, tmp_path, folder):
    with pytest.raises(UsageError, match="either --ids 1,2 or --filter"):
        raise failure("remove", folder)
    with pytest.raises(UsageError, match="whole numbers"):
        raise failure("remove", folder, "--ids", "1;2")
    with pytest.raises(PerisphereError, match=r"The id 9{23} is out of range"):
        raise failure("remove", folder, "--ids", "9" * 23)
    with pytest.raises(UsageError, match="l1 is always searched exactly"):
        raise failure("create", tmp_path / "new", world / "vectors", "--metric", "l1", "--recall", "0.99")
    with pytest.raises(UsageError, match="'dot' is unknown"):
        raise failure("create", tmp_path / "new", world / "vectors", "--metric", "dot")
    with pytest.raises(UsageError, match="--encoder"):
        raise failure("create", tmp_path / "new", world / "catalog")
    with pytest.raises(PerisphereError, match="nowhere"):
        raise failure("create", tmp_path / "new", world / "nowhere", "--encoder", world / "encoder")
    with pytest.raises(PerisphereError, match="holds no index"):
        raise failure("info", tmp_path / "new")
    with pytest.raises(PerisphereError, match="exists already"):
        raise failure("create", folder, world / "vectors")
    with pytest.raises(PerisphereError, match="is not the encoder that made"):
        raise failure("create", tmp_path / "new", world / "vectors", "--encoder", world / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_vectors_of_another_encoder_do_not_enter(world, tmp_path, folder):
    embed(read("folders", world / "more"), Encoder.load(world / "other"), tmp_path / "vectors")
    with pytest.raises(PerisphereError, match="dimension 108"):
        raise failure("add", folder, tmp_path / "vectors")
    net = build(NetSpec(backbone="pixels", input_size=6))
    Encoder(net, Preprocessing(size=(6, 6), channels="BGR"), name="swapped").save(tmp_path / "swapped")
    embed(read("folders", world / "more"), Encoder.load(tmp_path / "swapped"), tmp_path / "swapped vectors")
    with pytest.raises(PerisphereError, match="with another"):
        raise failure("add", folder, tmp_path / "swapped vectors")
    assert answer("verify", folder) == {"images": 18, "problems": []}


def test_a_swapped_encoder_is_refused(world, folder):
    shutil.rmtree(folder / "encoder")
    shutil.copytree(world / "other", folder / "encoder")
    with pytest.raises(PerisphereError, match="is not the encoder that made this index"):
        raise failure("add", folder, world / "more")


def test_an_index_without_an_encoder_says_so(world, tmp_path):
    with Index.create(tmp_path / "index", 4) as index:
        index.add(np.eye(4, dtype=np.float32))
    with pytest.raises(PerisphereError, match="holds no encoder"):
        raise failure("add", tmp_path / "index", world / "photos")
    with pytest.raises(PerisphereError, match="holds no encoder"):
        raise failure("duplicates", tmp_path / "index", "--image", world / "photos" / "dome" / "0.png")


def test_a_corrupt_photo_is_skipped(world, tmp_path, folder):
    bad = photos(tmp_path / "some", 3, ["dome"])
    (bad / "dome" / "0.png").write_bytes(b"not a photo")
    assert answer("add", folder, bad)["added"] == 5


@pytest.mark.parametrize(
    "verb", ["create", "add", "remove", "info", "verify", "compact", "duplicates", "calibrate"]
)
def test_help_has_examples(verb):
    assert f"perisphere index {verb}" in run(verb, "--help")


def test_centroids_beside_the_photos_and_instead_of_them(world, tmp_path):
    folder, only = tmp_path / "index", tmp_path / "only"
    facts = answer("create", folder, world / "vectors", "--centroids")
    assert (facts["centroids"], facts["identities"], facts["images"]) == ("beside", 3, 18)
    assert "3, " in run("info", folder)
    assert "centroids beside the images" in run("info", folder)
    facts = answer("create", only, world / "photos", "--encoder", world / "encoder", "--centroids-only")
    assert (facts["centroids"], facts["identities"], facts["images"]) == ("only", 3, 18)
    assert facts["bytes_per_identity"] == round(facts["bytes"] / 3, 1)
    run("add", folder, world / "more", "--json")
    run("add", only, world / "more", "--json")
    for index in (folder, only):
        run("remove", index, "--filter", "label == 'tower'")
        assert answer("remove", index, "--ids", "1,2,3") == {"removed": 3, "images": 21}
        assert answer("verify", index) == {"images": 21, "problems": []}
    with Index.open(folder) as index, Index.open(only) as other:
        assert index.centroids().labels == other.centroids().labels == ("bridge", "dome", "castles")
        assert index.centroids().counts.tolist() == other.centroids().counts.tolist() == [3, 12, 6]
        np.testing.assert_allclose(index.centroids().points, other.centroids().points, atol=1e-5)


def test_centroids_for_an_index_that_is_there(folder):
    assert "no centroids" in run("info", folder)
    found = answer("centroids", folder)
    assert (found["centroids"], found["images"]) == (3, 18)
    assert run("centroids", folder).startswith("3 centroids of 18 images: ")


def test_wrong_words_about_centroids(world, tmp_path):
    result = invoke("create", tmp_path / "index", world / "vectors", "--centroids", "--centroids-only")
    assert isinstance(result.exception, UsageError)
    run("create", tmp_path / "only", world / "vectors", "--centroids-only")
    with Index.open(tmp_path / "only") as index:
        shutil.rmtree(index.folder / "encoder")
    result = invoke("remove", tmp_path / "only", "--ids", "1")
    assert "no encoder to make it again" in str(result.exception)
    assert "centroids only" in str(invoke("duplicates", tmp_path / "only").exception)
