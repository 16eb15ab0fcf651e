"""Features of a folder as plain files: of their own length, by photo or by identity, whole after a kill."""

import json
from pathlib import Path

import numpy as np
import pytest
from drawn import picture
from PIL import Image

from perisphere.encoder.embed_folder import embed_folder
from perisphere.encoder.features import Features, identity_of
from perisphere.errors import PerisphereError, UsageError


@pytest.fixture
def people(tmp_path) -> Path:
    """Three identities in folders, of 3, 2 and 1 photos, and a file that is no picture."""
    folder = tmp_path / "people"
    for number, name in enumerate(("b/b_1", "b/b_2", "b/b_10", "a/a_x_1", "a/a_x_2", "c/c")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(folder / f"{name}.png")
    (folder / "a" / "broken_1.jpg").write_text("no picture")
    return folder


def _features(encoder, paths) -> np.ndarray:
    """What the network gives for each photo, one at a time."""
    run = encoder.inference(precision="float32", unit=False)
    read = [np.asarray(Image.open(path)) for path in paths]
    return np.concatenate([run(encoder.preprocessing(photo)[None]) for photo in read])


def test_features_are_the_networks_own(people, encoder, tmp_path) -> None:
    found = embed_folder(people, encoder, tmp_path / "out", precision="float32")
    order = ("a/a_x_1", "a/a_x_2", "b/b_1", "b/b_10", "b/b_2", "c/c")
    assert found.names == [str(people / f"{name}.png") for name in order]
    np.testing.assert_allclose(found.vectors, _features(encoder, found.names), rtol=1e-4, atol=1e-5)
    lengths = np.linalg.norm(found.vectors, axis=1)
    assert np.abs(lengths - 1).min() > 1e-3
    unit = encoder.encode(found.names, precision="float32")
    np.testing.assert_allclose(found.vectors / lengths[:, None], unit, atol=1e-5)
    assert [skipped["path"] for skipped in found.about["skipped"]] == [str(people / "a/broken_1.jpg")]


def test_the_arrays_are_read_by_numpy_alone(people, encoder, tmp_path) -> None:
    embed_folder(people, encoder, tmp_path / "out")
    vectors = np.load(tmp_path / "out" / "embeddings.npy", allow_pickle=False)
    paths = np.load(tmp_path / "out" / "paths.npy", allow_pickle=False)
    assert vectors.dtype == np.float32
    assert len(vectors) == len(paths) == 6
    assert paths.dtype.kind == "U"


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("folder", {"a": ["a_x_1", "a_x_2"], "b": ["b_1", "b_10", "b_2"], "c": ["c"]}),
        ("name", {"a_x": ["a_x_1", "a_x_2"], "b": ["b_1", "b_10", "b_2"], "c": ["c"]}),
    ],
)
def test_a_centroid_is_the_mean_of_features_not_of_directions(people, encoder, tmp_path, by, groups) -> None:
    photos = embed_folder(people, encoder, tmp_path / "photos")
    found = embed_folder(people, encoder, tmp_path / "out", centroids_by=by)
    assert found.names == list(groups)
    stems = [Path(name).stem for name in photos.names]
    for centroid, members in zip(found.vectors, groups.values(), strict=True):
        expected = photos.vectors[[stems.index(member) for member in members]].mean(axis=0)
        np.testing.assert_allclose(centroid, expected, rtol=1e-5, atol=1e-6)
    assert found.members.group_by("identity").len().sort("identity")["len"].to_list() == [2, 3, 1]
    assert found.by == by


def test_a_killed_run_goes_on_to_the_same_arrays(people, encoder, tmp_path, monkeypatch) -> None:
    whole = embed_folder(people, encoder, tmp_path / "whole", batch_size=2)
    with monkeypatch.context() as patch:
        patch.setattr("perisphere.encoder.embedding_loop.SYNC_SECONDS", 0)
        calls = iter(range(2))
        quick = type(encoder.inference()).__call__

        def until(self, pictures):
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return quick(self, pictures)

        patch.setattr("perisphere.encoder.inference.Inference.__call__", until)
        with pytest.raises(KeyboardInterrupt):
            embed_folder(people, encoder, tmp_path / "out", batch_size=2)
    assert not (tmp_path / "out").exists()
    found = embed_folder(people, encoder, tmp_path / "out", batch_size=2)
    assert found.about["run"]["resumed_at"] == 4
    np.testing.assert_array_equal(found.vectors, whole.vectors)
    assert found.names == whole.names
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "people", "whole"]


def test_a_single_photo_is_a_folder_of_one(people, encoder, tmp_path) -> None:
    found = embed_folder(people / "c" / "c.png", encoder, tmp_path / "out")
    assert found.names == [str(people / "c" / "c.png")]
    (tmp_path / "empty").mkdir()
    for source, message in ((tmp_path / "empty", "no photos in it"), (tmp_path / "none", "no such folder")):
        with pytest.raises(PerisphereError, match=message):
            embed_folder(source, encoder, tmp_path / "other")
    with pytest.raises(PerisphereError, match="none of the 1 photos can be embedded"):
        embed_folder(people / "a" / "broken_1.jpg", encoder, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_an_earlier_folder_stays_without_the_word_for_it(people, encoder, tmp_path) -> None:
    embed_folder(people / "c", encoder, tmp_path / "out")
    with pytest.raises(PerisphereError, match="exists already"):
        embed_folder(people, encoder, tmp_path / "out")
    assert len(Features.load(tmp_path / "out")) == 1
    assert len(embed_folder(people, encoder, tmp_path / "out", overwrite=True)) == 6
    with pytest.raises(UsageError, match=r"by 'label' is unknown; use folder or name"):
        embed_folder(people, encoder, tmp_path / "other", centroids_by="label")


def test_arrays_of_another_program_are_read_and_never_run(tmp_path) -> None:
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.save(tmp_path / "embeddings.npy", vectors)
    np.save(tmp_path / "paths.npy", np.array(["x/a.jpg", "x/b.jpg", "y/c.jpg"], object))
    found = Features.load(tmp_path)
    assert found.names == ["x/a.jpg", "x/b.jpg", "y/c.jpg"]
    assert found.about == {}
    assert found.by is None
    np.testing.assert_array_equal(found.vectors, vectors)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("embeddings.npy", None, r"no embeddings\.npy in it; name a folder written by"),
        ("embeddings.npy", np.arange(3.0), r"holds float64 \[3\], not numbers \[n, d\]"),
        ("embeddings.npy", np.zeros((3, 2), np.int64), r"holds int64 \[3, 2\]"),
        ("paths.npy", None, r"paths\.npy: cannot be read"),
        ("paths.npy", np.array(["a", "b"]), "3 embeddings but 2 paths"),
        ("paths.npy", np.arange(3), "not one list of texts"),
        ("features.json", "{", r"features\.json: cannot be read"),
        ("features.json", "{}", "has no format number"),
        ("features.json", json.dumps({"format": 99}), "format 99 is newer"),
        ("features.json", "[" * 100_000, r"features\.json: cannot be read"),
        ("features.json", json.dumps({"format": 1, "encoder": ["x"]}), "is damaged \\(encoder or"),
        ("features.json", json.dumps({"format": 1, "centroids": "label"}), "is damaged \\(encoder or"),
        ("members.parquet", "no parquet", r"members\.parquet: is damaged"),
    ],
)
def test_damage_is_one_line_that_names_the_file(tmp_path, name, content, message) -> None:
    np.save(tmp_path / "embeddings.npy", np.zeros((3, 2), np.float32))
    np.save(tmp_path / "paths.npy", np.array(["a", "b", "c"]))
    if content is None:
        (tmp_path / name).unlink()
    elif isinstance(content, str):
        (tmp_path / name).write_text(content)
    else:
        np.save(tmp_path / name, content)
    with pytest.raises(PerisphereError, match=message):
        Features.load(tmp_path)


@pytest.mark.parametrize(
    ("path", "folder", "name"),
    [("/r/1/image_04.jpg", "1", "image"), ("/r/x/shoe_1_04.b.jpg", "x", "shoe_1"), ("/r/x/c.jpg", "x", "c")],
)
def test_where_an_identity_stands(path, folder, name) -> None:
    assert identity_of(path, "folder") == folder
    assert identity_of(path, "name") == name


def test_a_photo_without_an_identity_is_named(encoder, tmp_path) -> None:
    Image.fromarray(picture(1)).save(tmp_path / "_7.png")
    with pytest.raises(PerisphereError, match=r"_7\.png: its name names no identity"):
        embed_folder(tmp_path / "_7.png", encoder, tmp_path / "out", centroids_by="name")
    assert not (tmp_path / "out").exists()
