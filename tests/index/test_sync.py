"""An index follows a folder: nothing that the folder holds is missing, and nothing is embedded twice."""

import os
import random
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import PIL.Image
import polars as pl
import pytest
from processes import child

from perisphere.catalog.readers import read
from perisphere.encoder import Encoder, Preprocessing
from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index, folder_scan
from perisphere.index import sync as syncing
from perisphere.index.filling import create_from
from perisphere.index.kept_files import UNSURE
from perisphere.index.sync import sync
from perisphere.index.watch import changes
from perisphere.nets import NetSpec, build


def draw(path: Path, seed: int, size: int = 24) -> Path:
    """A photo that is noise of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size, 3)).astype(np.uint8)
    PIL.Image.fromarray(pixels).save(path, format="PNG")
    return path


@pytest.fixture(autouse=True)
def settled(monkeypatch) -> None:
    """Files need not lie for two seconds before their times are trusted."""
    monkeypatch.setattr(folder_scan, "SETTLED_NS", 0)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(build(NetSpec(backbone="pixels", input_size=6)), Preprocessing(size=(6, 6)), name="pixels")


@pytest.fixture
def photos(tmp_path) -> Path:
    for place, name in enumerate(["dome/a.png", "dome/b.png", "tower/c.png", "train/tower/d.png", "e.png"]):
        draw(tmp_path / "photos" / name, place)
    return tmp_path / "photos"


@pytest.fixture
def index(tmp_path, encoder):
    with Index.create(tmp_path / "index", encoder=encoder, centroids="beside") as made:
        yield made


def held(index: Index) -> dict[str, int]:
    """The id of each photo, whose path starts from the folder."""
    return {path: id_ for id_, path in index.rows().select("id", "path").iter_rows()}


def proved(index: Index, photos: Path, encoder: Encoder) -> None:
    """The index holds what a new one of the folder would hold, and is whole."""
    assert index.verify() == []
    fresh = read("folders", photos).table
    rows = index.rows().sort("path")
    names = ["path", "split", "label", "categories", "width", "height"]
    assert rows.select(names).equals(fresh.sort("path").select(names))
    vectors = index.vectors(rows["id"].to_numpy())[1]
    files = [photos / path for path in rows["path"]]
    np.testing.assert_allclose(vectors, encoder.encode(files), atol=1e-6)
    labels = index.centroids().labels
    assert sorted(labels) == sorted(set(rows["label"].drop_nulls()))


def forbid_embedding(monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a photo was embedded that had not changed")

    monkeypatch.setattr(syncing, "_take_in", refuse)


def test_the_first_sync_makes_what_a_new_index_would_hold(index, photos, encoder):
    told = sync(index, photos)
    assert [entry.path for entry in told.new] == [
        *("dome/a.png", "dome/b.png", "e.png", "tower/c.png", "train/tower/d.png")
    ]
    assert (told.images, told.changes, told.same) == (5, 5, 0)
    proved(index, photos, encoder)


def test_what_has_not_changed_is_not_even_opened(index, photos, monkeypatch):
    sync(index, photos)
    monkeypatch.setattr(folder_scan, "_hashed", lambda *_: pytest.fail("a file was opened"))
    forbid_embedding(monkeypatch)
    told = sync(index, photos)
    assert (told.changes, told.same) == (0, 5)


def test_a_file_that_was_written_again_with_the_same_bytes_is_the_same_photo(index, photos, monkeypatch):
    sync(index, photos)
    forbid_embedding(monkeypatch)
    os.utime(photos / "e.png")
    assert sync(index, photos).changes == 0
    monkeypatch.setattr(folder_scan, "_hashed", lambda *_: pytest.fail("its new time was not noted"))
    assert sync(index, photos).same == 5


def test_a_file_written_a_moment_ago_is_compared_by_its_bytes_next_time(index, photos, monkeypatch):
    monkeypatch.setattr(folder_scan, "SETTLED_NS", 3_600_000_000_000)
    sync(index, photos)
    assert {row.content.changed for row in index.files.read()} == {UNSURE}
    draw(photos / "e.png", 77)  # as large, and perhaps within the same tick of the clock
    assert [entry.path for entry in sync(index, photos).changed] == ["e.png"]


def test_other_bytes_under_the_old_size_and_time_are_another_photo(index, photos):
    sync(index, photos)
    before = (photos / "e.png").stat()
    draw(photos / "e.png", 77)
    os.utime(photos / "e.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    after = (photos / "e.png").stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert [entry.path for entry in sync(index, photos).changed] == ["e.png"]


def test_a_changed_photo_gets_a_new_id_and_keeps_what_the_user_said_of_it(index, photos, encoder):
    rows = pl.DataFrame({"path": ["dome/a.png"], "caption": ["the dome at noon"], "label": ["dome"]})
    index.add(encoder.encode([photos / "dome/a.png"]), rows, root=photos)
    sync(index, photos)
    draw(photos / "dome/a.png", 99, size=30)
    told = sync(index, photos)
    assert [(entry.path, entry.was, entry.ids) for entry in told.changed] == [("dome/a.png", (1,), (6,))]
    row = index.rows([6]).row(0, named=True)
    assert (row["caption"], row["label"], row["width"]) == ("the dome at noon", "dome", 30)
    assert list(index.matches([["noon"]])[0]) == [6]
    np.testing.assert_allclose(index.vectors([6])[1], encoder.encode([photos / "dome/a.png"]), atol=1e-6)
    assert index.verify() == []


def test_a_box_stays_while_the_photo_is_as_large_and_goes_with_its_size(index, photos, encoder):
    rows = pl.DataFrame({"path": ["e.png", "e.png"], "box": [[0, 0, 9, 9], [9, 9, 20, 20]]})
    boxes = [[0, 0, 9, 9], [9, 9, 20, 20]]
    rows = rows.with_columns(width=24, height=24)
    index.add(encoder.encode([photos / "e.png"] * 2, boxes=boxes), rows, root=photos)
    sync(index, photos)
    draw(photos / "e.png", 5)
    (changed,) = sync(index, photos).changed
    assert (changed.was, len(changed.ids)) == ((1, 2), 2)
    assert index.rows(changed.ids)["box"].to_list() == boxes
    expected = encoder.encode([photos / "e.png"] * 2, boxes=boxes)
    np.testing.assert_allclose(index.vectors(changed.ids)[1], expected, atol=1e-6)
    draw(photos / "e.png", 6, size=10)
    (changed,) = sync(index, photos).changed
    assert index.rows(changed.ids)["box"].to_list() == [None, None]


def test_a_moved_photo_keeps_id_and_vector_and_takes_the_label_of_its_new_folder(
    index, photos, encoder, monkeypatch
):
    sync(index, photos)
    before = held(index)
    (photos / "bridge").mkdir()
    (photos / "dome/a.png").rename(photos / "bridge/a.png")
    (photos / "tower/c.png").rename(photos / "tower/renamed.png")
    (photos / "e.png").rename(photos / "dome/e.png")
    with monkeypatch.context() as context:
        forbid_embedding(context)
        told = sync(index, photos)
    assert {(entry.came_from, entry.path) for entry in told.moved} == {
        ("dome/a.png", "bridge/a.png"),
        ("tower/c.png", "tower/renamed.png"),
        ("e.png", "dome/e.png"),
    }
    after = held(index)
    assert after["bridge/a.png"] == before["dome/a.png"]
    proved(index, photos, encoder)
    assert list(index.matches([["bridge"]])[0]) == [before["dome/a.png"]]


def test_photos_that_changed_places_are_moved_and_not_embedded(index, photos, encoder, monkeypatch):
    sync(index, photos)
    before = held(index)
    first, second = photos / "dome/a.png", photos / "tower/c.png"
    spare = first.rename(photos / "spare")
    second.rename(first)
    spare.rename(second)
    with monkeypatch.context() as context:
        forbid_embedding(context)
        told = sync(index, photos)
    assert len(told.moved) == 2
    after = held(index)
    assert (after["dome/a.png"], after["tower/c.png"]) == (before["tower/c.png"], before["dome/a.png"])
    proved(index, photos, encoder)


def test_a_label_of_the_users_own_moves_with_its_photo(index, photos, encoder):
    rows = pl.DataFrame({"path": ["dome/a.png"], "label": ["Saint Peter"], "split": ["val"]})
    index.add(encoder.encode([photos / "dome/a.png"]), rows, root=photos)
    sync(index, photos)
    (photos / "dome/a.png").rename(photos / "tower/a.png")
    sync(index, photos)
    row = index.rows([1]).row(0, named=True)
    assert (row["path"], row["label"], row["split"]) == ("tower/a.png", "Saint Peter", "val")


def test_a_second_class_of_the_same_name_relabels_the_first(index, photos, encoder):
    sync(index, photos)
    draw(photos / "old/tower/f.png", 50)
    told = sync(index, photos)
    assert [entry.path for entry in told.new] == ["old/tower/f.png"]
    assert index.rows(index.ids("label == 'old/tower'"))["path"].to_list() == ["old/tower/f.png"]
    proved(index, photos, encoder)
    shutil.rmtree(photos / "tower")
    shutil.rmtree(photos / "train")
    told = sync(index, photos)
    assert [entry.path for entry in told.relabelled] == ["old/tower/f.png"]
    proved(index, photos, encoder)


def test_deleted_photos_go_and_strangers_stay(index, photos, encoder):
    index.add(np.ones((1, index.dim)), pl.DataFrame({"path": ["dome/a.png"]}), root=photos.parent / "other")
    sync(index, photos)
    (photos / "dome/a.png").unlink()
    told = sync(index, photos)
    assert [(entry.path, len(entry.was)) for entry in told.removed] == [("dome/a.png", 1)]
    assert 1 in index.ids()
    assert len(index) == 5


def test_an_index_that_was_made_of_the_folder_is_taken_as_it_is(photos, encoder, tmp_path, monkeypatch):
    encoder.save(tmp_path / "encoder")
    forbid_embedding(monkeypatch)
    with create_from(tmp_path / "made", photos, encoder=tmp_path / "encoder") as index:
        told = sync(index, photos)
        assert (told.changes, told.same) == (0, 5)
        assert all(row.content is not None for row in index.files.read())


def test_a_folder_within_what_was_indexed_is_followed_alone(photos, encoder, tmp_path):
    encoder.save(tmp_path / "encoder")
    with create_from(tmp_path / "made", photos, encoder=tmp_path / "encoder") as index:
        (photos / "dome/a.png").unlink()
        (photos / "tower/c.png").unlink()
        told = sync(index, photos / "dome")
        assert [entry.path for entry in told.removed] == ["a.png"]
        assert len(index) == 4


def test_an_index_that_lies_in_the_folder_is_no_photo(photos, encoder):
    with Index.create(photos / "index", encoder=encoder) as index:
        draw(index.folder / "photos/0.png", 70)
        assert len(sync(index, photos).new) == 5


def test_an_emptied_folder_takes_nothing_with_it_unless_that_is_said(index, photos):
    sync(index, photos)
    for path in [*photos.rglob("*.png")]:
        path.unlink()
    with pytest.raises(PerisphereError, match=r"holds no photo any more.*--allow-empty"):
        sync(index, photos)
    assert len(index) == 5
    assert len(sync(index, photos, allow_empty=True).removed) == 5


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every folder")
def test_photos_in_a_folder_that_cannot_be_looked_into_stay(index, photos):
    sync(index, photos)
    (photos / "dome").chmod(0)
    try:
        told = sync(index, photos)
    finally:
        (photos / "dome").chmod(0o755)
    assert told.removed == []
    assert told.unreadable == [("dome", "folder cannot be read (Permission denied)")]
    assert len(index) == 5


def test_a_photo_whose_file_is_damaged_now_stays_until_it_can_be_read(index, photos):
    sync(index, photos)
    (photos / "e.png").write_bytes((photos / "e.png").read_bytes()[:100])
    told = sync(index, photos)
    assert (told.changes, [path for path, _ in told.unreadable]) == (0, ["e.png"])
    assert "e.png" in held(index)
    draw(photos / "e.png", 71)
    assert [entry.path for entry in sync(index, photos).changed] == ["e.png"]


def test_strange_files_are_counted_and_leave_the_others_alone(index, photos, encoder):
    draw(photos / "dome/two\nlines\t\x1b[31m.png", 80)
    (photos / "dome/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 50)
    (photos / "dome/text.jpg").write_text("no photo")
    (photos / "dome/empty.png").touch()
    (photos / "nowhere.png").symlink_to(photos / "not there.png")
    (photos / "again").symlink_to(photos)
    (photos / "link.png").symlink_to(photos / "e.png")
    os.mkfifo(photos / "pipe.png")
    with (photos / "huge.png").open("wb") as file:
        file.truncate(1 << 40)
    (photos / os.fsdecode(b"caf\xe9.png")).write_bytes((photos / "e.png").read_bytes())
    told = sync(index, photos)
    reasons = dict(told.unreadable)
    assert set(reasons) == {
        *("dome/broken.png", "dome/text.jpg", "dome/empty.png", "nowhere.png", "pipe.png", "huge.png"),
        r"caf\xe9.png",
    }
    assert "regular" in reasons["pipe.png"]
    assert "limit" in reasons["huge.png"]
    assert sorted(set(held(index)) - {"e.png"})[-1] == "train/tower/d.png"
    assert len(told.new) == 7
    assert index.verify() == []
    assert sync(index, photos).changes == 0


def test_a_photo_that_changes_while_it_is_read_is_left_for_the_next_time(index, photos, monkeypatch):
    embedded = syncing._embedded

    def meddle(*words):
        found = embedded(*words)
        draw(photos / "e.png", 90)
        os.utime(photos / "e.png")
        return found

    with monkeypatch.context() as context:
        context.setattr(syncing, "_embedded", meddle)
        told = sync(index, photos)
    assert told.unsettled == ["e.png"]
    assert len(index) == 4
    assert [entry.path for entry in sync(index, photos).new] == ["e.png"]


def test_near_duplicates_of_new_photos_are_named_once(index, photos):
    sync(index, photos)
    pixels = np.array(PIL.Image.open(photos / "e.png"))
    pixels[0, 0] ^= 3
    PIL.Image.fromarray(pixels).save(photos / "dome/nearly.png")
    shutil.copy(photos / "e.png", photos / "tower/copy.png")
    told = sync(index, photos)
    ids = held(index)
    pairs = {(near.path, near.near_path) for near in told.near}
    assert pairs == {
        ("dome/nearly.png", "e.png"),
        ("tower/copy.png", "e.png"),
        ("tower/copy.png", "dome/nearly.png"),
    }
    assert all(near.near < near.id == ids[near.path] and near.score > 0.99 for near in told.near)
    draw(photos / "f.png", 3)
    assert sync(index, photos, threshold=None).near == []


def test_boxes_of_one_photo_are_no_near_duplicates_of_each_other(index, photos, encoder):
    boxes = [[0, 0, 20, 20], [0, 0, 20, 20]]
    rows = pl.DataFrame({"path": ["e.png"] * 2, "box": boxes, "width": [24] * 2, "height": [24] * 2})
    index.add(encoder.encode([photos / "e.png"] * 2, boxes=boxes), rows, root=photos)
    sync(index, photos)
    draw(photos / "e.png", 5)
    told = sync(index, photos)
    assert len(told.changed[0].ids) == 2
    assert told.near == []


def test_a_dry_run_tells_the_same_and_writes_nothing(index, photos, encoder):
    sync(index, photos)
    draw(photos / "dome/new.png", 20)
    draw(photos / "e.png", 21)
    (photos / "dome/a.png").rename(photos / "tower/a.png")
    (photos / "tower/c.png").unlink()
    moment, before = index._store.moment(), index.rows()
    foretold = sync(index, photos, dry_run=True)
    assert index.rows().equals(before)
    assert index._store.moment() == moment
    told = sync(index, photos)
    for name in ("new", "changed", "moved", "relabelled", "removed"):
        foreseen, done = getattr(foretold, name), getattr(told, name)
        assert len(done) == (0 if name == "relabelled" else 1)
        assert [entry.path for entry in foreseen] == [entry.path for entry in done]
        assert [entry.was for entry in foreseen] == [entry.was for entry in done]


def test_what_cannot_be_followed_is_refused_in_one_line(tmp_path, photos, encoder):
    with Index.create(tmp_path / "bare", 8) as index, pytest.raises(PerisphereError, match="no encoder"):
        sync(index, photos)
    made = Index.create(tmp_path / "only", encoder=encoder, centroids="only")
    with made as index, pytest.raises(PerisphereError, match="centroids only"):
        sync(index, photos)
    with Index.create(tmp_path / "index", encoder=encoder) as index:
        with pytest.raises(PerisphereError, match=r"missing: no such folder"):
            sync(index, tmp_path / "missing")
        with pytest.raises(UsageError, match=r"threshold 1\.5"):
            sync(index, photos, threshold=1.5)
        with syncing._alone(index.folder), pytest.raises(PerisphereError, match="another sync"):
            sync(index, photos)
        assert len(index) == 0


def test_the_network_runs_as_it_is_asked_to(index, photos, monkeypatch):
    asked, whole = [], Encoder.on

    def on(self, runtime=None, **how):
        asked.append(runtime)
        return whole(self, None, **how)

    monkeypatch.setattr(Encoder, "on", on)
    sync(index, photos, runtime="onnx")
    assert asked[0] == "onnx"
    monkeypatch.undo()
    with pytest.raises(UsageError, match="there is no such runtime"):
        sync(index, photos, runtime="abacus")


def test_codes_alone_are_enough_to_follow_a_folder(tmp_path, encoder):
    from perisphere.codes.unsupervised import fit

    for place in range(40):
        draw(tmp_path / f"photos/dome/{place}.png", place)
    files = sorted((tmp_path / "photos").rglob("*.png"))
    books = fit(encoder.encode(files), "rq", books=2, words=16)
    with Index.create(tmp_path / "index", encoder=encoder, codebooks=books, codes="only") as index:
        assert len(sync(index, tmp_path / "photos").new) == 40
        files[0].rename(files[0].with_name("moved.png"))
        assert len(sync(index, tmp_path / "photos").moved) == 1
        assert index.verify() == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_a_killed_sync_is_completed_by_the_next(tmp_path, encoder):
    photos = tmp_path / "photos"
    for place in range(60):
        draw(photos / f"{'dome' if place % 2 else 'tower'}/{place}.png", place)
    Index.create(tmp_path / "index", encoder=encoder, centroids="beside").close()
    draws = random.Random(0)

    def follow(say) -> None:
        syncing.BATCH = 4
        with Index.open(tmp_path / "index") as index:
            say("ready")
            sync(index, photos)

    for turn in range(12):
        for place in draws.sample(range(60), 5):
            kind = draws.choice(["change", "move", "delete"])
            path = next(iter(photos.rglob(f"{place}.png")), photos / f"dome/{place}.png")
            if kind == "move" and path.exists():
                other = photos / ("tower" if path.parent.name == "dome" else "dome") / path.name
                path.rename(other)
            elif kind == "delete":
                path.unlink(missing_ok=True)
            else:
                draw(path, 1000 * turn + place)
        with child(follow) as (pid, said):
            assert said.readline() == "ready\n"
            time.sleep(draws.uniform(0, 0.15))
            os.kill(pid, signal.SIGKILL)
    with Index.open(tmp_path / "index") as index:
        sync(index, photos)
        proved(index, photos, encoder)
        assert sync(index, photos).changes == 0


def test_the_watch_tells_of_changes_in_the_folder_and_not_of_the_index(photos, tmp_path, monkeypatch):
    pytest.importorskip("watchfiles")
    monkeypatch.setattr("perisphere.index.watch.DEBOUNCE", 0.1)
    (photos / "index").mkdir()
    stop = threading.Event()
    told = changes(photos, without=photos / "index", stop=stop)
    assert next(told) is True
    (photos / "index/index.sqlite").write_bytes(b"written")
    (photos / ".hidden").write_bytes(b"written")
    assert next(told) is False
    draw(photos / "f.png", 1)
    assert any(next(told) for _ in range(10))
    stop.set()
    assert not any(told)


def test_a_folder_that_is_not_there_cannot_be_watched(tmp_path):
    pytest.importorskip("watchfiles")
    with pytest.raises(PerisphereError, match="no such folder to watch"):
        next(changes(tmp_path / "missing", without=tmp_path))
