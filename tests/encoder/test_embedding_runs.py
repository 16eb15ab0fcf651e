import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from drawn import picture
from PIL import Image

from perisphere.catalog import Catalog
from perisphere.encoder import Embeddings, Encoder, Preprocessing, embed
from perisphere.encoder.loading import batches
from perisphere.errors import PerisphereError
from perisphere.nets import NetSpec, build

SLOW_RUN = """
import sys, time
import perisphere.encoder.embedding_loop
from perisphere.catalog import Catalog
from perisphere.encoder import Encoder, Inference, embed
perisphere.encoder.embedding_loop.SYNC_SECONDS = 0
quick = Inference.__call__
Inference.__call__ = lambda self, pictures: time.sleep(0.1) or quick(self, pictures)
embed(Catalog.load(sys.argv[1]), Encoder.load(sys.argv[2]), sys.argv[3], batch_size=2, device="cpu")
"""


@pytest.fixture
def whole(catalog: Catalog, encoder: Encoder, tmp_path: Path) -> Embeddings:
    """What an uninterrupted run gives."""
    return embed(catalog, encoder, tmp_path / "whole", batch_size=2)


def _same(one: Embeddings, other: Embeddings) -> None:
    np.testing.assert_array_equal(one.vectors, other.vectors)
    np.testing.assert_array_equal(one.lengths, other.lengths)
    assert one.rows.equals(other.rows)
    assert one.skipped == other.skipped


def test_rows_vectors_and_skipped_belong_together(
    whole: Embeddings, catalog: Catalog, encoder: Encoder
) -> None:
    good = [row for row in range(20) if row not in (7, 11, 13)]
    assert whole.rows.equals(catalog.table[good])
    paths = [catalog.paths()[row] for row in good]
    np.testing.assert_allclose(whole.vectors, encoder.encode(paths), atol=1e-5)
    reasons = {skipped["path"]: skipped["reason"] for skipped in whole.skipped}
    assert list(reasons) == ["07.png", "11.png", "13.png"]
    assert "not a " in reasons["07.png"]
    assert "truncated" in reasons["11.png"]
    assert "No such file" in reasons["13.png"]
    assert whole.encoder == {"name": "tiny", "identity": encoder.identity, "dim": encoder.dim, "path": None}
    assert whole.root == catalog.root
    assert whole.run["images"] == 20
    assert whole.run["images_per_second"] > 0
    assert 0 < whole.run["network_share"] <= 1


def test_lengths_are_those_that_the_network_gave(whole: Embeddings, encoder: Encoder) -> None:
    paths = [whole.root / path for path in whole.rows["path"][:3]]
    size = encoder.preprocessing
    pictures = [batch.pictures for batch in batches(paths, size, batch_size=1, workers=1)]
    features = np.concatenate([encoder.inference(device="cpu", unit=False)(one) for one in pictures])
    assert not np.allclose(whole.lengths, 1)
    np.testing.assert_allclose(whole.vectors[:3] * whole.lengths[:3, None], features, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_the_batch_size_changes_nothing(
    whole: Embeddings, catalog: Catalog, encoder: Encoder, tmp_path: Path, batch_size: int
) -> None:
    other = embed(catalog, encoder, tmp_path / "other", batch_size=batch_size)
    np.testing.assert_allclose(other.vectors, whole.vectors, atol=1e-5)
    assert other.rows.equals(whole.rows)
    assert other.skipped == whole.skipped


def _killed_run(catalog: Catalog, encoder: Encoder, tmp_path: Path, blocks: int) -> Path:
    """Kill a real process once ``blocks`` blocks are in its journal; return the partial folder."""
    catalog.save(tmp_path / "catalog", overwrite=True)
    encoder.save(tmp_path / "encoder", overwrite=True)
    words = [str(tmp_path / name) for name in ("catalog", "encoder", "out")]
    process = subprocess.Popen([sys.executable, "-c", SLOW_RUN, *words], stderr=subprocess.PIPE)
    journal = tmp_path / ".out.partial" / "journal.jsonl"
    deadline = time.monotonic() + 60
    while not (journal.exists() and journal.read_bytes().count(b"\n") > blocks):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return journal.parent


def test_a_killed_run_goes_on_to_the_same_result(
    whole: Embeddings, catalog: Catalog, encoder: Encoder, tmp_path: Path
) -> None:
    partial = _killed_run(catalog, encoder, tmp_path, blocks=3)
    assert not (tmp_path / "out").exists()
    resumed = embed(catalog, encoder, tmp_path / "out", batch_size=2, device="cpu")
    assert 6 <= resumed.run["resumed_at"] < 20
    assert resumed.run["images"] == 20 - resumed.run["resumed_at"]
    _same(resumed, whole)
    assert not partial.exists()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "embeddings.json",
        "lengths.npy",
        "rows.parquet",
        "vectors.npy",
    ]


class StoppedError(Exception):
    pass


def _stopped_run(catalog: Catalog, encoder: Encoder, out: Path, monkeypatch, after: int = 5) -> Path:
    """Stop a run in this process after some batches of two."""
    calls = iter(range(after))
    with monkeypatch.context() as patch:
        patch.setattr("perisphere.encoder.embedding_loop.SYNC_SECONDS", 0)
        quick = type(encoder.inference()).__call__

        def until(self, pictures):
            if next(calls, None) is None:
                raise StoppedError
            return quick(self, pictures)

        patch.setattr("perisphere.encoder.inference.Inference.__call__", until)
        with pytest.raises(StoppedError):
            embed(catalog, encoder, out, batch_size=2)
    return out.parent / f".{out.name}.partial"


@pytest.mark.parametrize("after", [0, 1, 4, 6, 9])
def test_a_run_stopped_anywhere_goes_on(
    whole: Embeddings, catalog: Catalog, encoder: Encoder, tmp_path: Path, monkeypatch, after: int
) -> None:
    _stopped_run(catalog, encoder, tmp_path / "out", monkeypatch, after)
    resumed = embed(catalog, encoder, tmp_path / "out", batch_size=2)
    assert resumed.run["resumed_at"] == 2 * after
    _same(resumed, whole)


def test_what_a_kill_tore_is_cut_off(
    whole: Embeddings, catalog: Catalog, encoder: Encoder, tmp_path: Path, monkeypatch
) -> None:
    partial = _stopped_run(catalog, encoder, tmp_path / "out", monkeypatch)
    with (partial / "vectors.npy").open("ab") as file:
        file.write(b"vectors without a line in the journal")
    with (partial / "journal.jsonl").open("ab") as file:
        file.write(b'{"done": 14, "ke')
    resumed = embed(catalog, encoder, tmp_path / "out", batch_size=2)
    assert resumed.run["resumed_at"] == 10
    _same(resumed, whole)


def test_vectors_that_are_gone_are_computed_again(
    whole: Embeddings, catalog: Catalog, encoder: Encoder, tmp_path: Path, monkeypatch
) -> None:
    partial = _stopped_run(catalog, encoder, tmp_path / "out", monkeypatch)
    (partial / "vectors.npy").unlink()
    _same(embed(catalog, encoder, tmp_path / "out", batch_size=2), whole)


def test_another_encoder_starts_again_and_says_so(
    catalog: Catalog, encoder: Encoder, tmp_path: Path, monkeypatch, caplog: pytest.LogCaptureFixture
) -> None:
    _stopped_run(catalog, encoder, tmp_path / "out", monkeypatch)
    other = Encoder(build(NetSpec(backbone="cifar_resnet20"), seed=9), encoder.preprocessing, name="other")
    fresh = embed(catalog, other, tmp_path / "out", batch_size=2)
    assert "starting again" in caplog.text
    assert fresh.run["resumed_at"] == 0
    _same(fresh, embed(catalog, other, tmp_path / "expected", batch_size=2))


def test_starting_again_leaves_a_finished_folder_as_it_is(
    catalog: Catalog, encoder: Encoder, tmp_path: Path, monkeypatch
) -> None:
    """A kill just before the partial folder is removed leaves its vectors under both names."""
    with monkeypatch.context() as patch:
        patch.setattr("perisphere.encoder.journal.Journal.remove", lambda self: None)
        embed(catalog, encoder, tmp_path / "out", batch_size=2)
    finished = (tmp_path / "out" / "vectors.npy").read_bytes()
    Image.fromarray(picture(99)).save(catalog.paths()[0])
    (tmp_path / "out").rename(tmp_path / "kept")
    embed(catalog, encoder, tmp_path / "out", batch_size=2)
    assert (tmp_path / "kept" / "vectors.npy").read_bytes() == finished


def test_a_changed_photo_starts_again(
    catalog: Catalog, encoder: Encoder, tmp_path: Path, monkeypatch
) -> None:
    _stopped_run(catalog, encoder, tmp_path / "out", monkeypatch)
    Image.fromarray(picture(99)).save(catalog.paths()[0])
    fresh = embed(catalog, encoder, tmp_path / "out", batch_size=2)
    assert fresh.run["resumed_at"] == 0
    np.testing.assert_allclose(fresh.vectors[0], encoder.encode([picture(99)])[0], atol=1e-5)


def test_a_second_run_into_the_same_folder_is_refused(
    catalog: Catalog, encoder: Encoder, tmp_path: Path, monkeypatch
) -> None:
    partial = _stopped_run(catalog, encoder, tmp_path / "out", monkeypatch)
    with (partial / "journal.jsonl").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(PerisphereError, match="another run is writing here"):
            embed(catalog, encoder, tmp_path / "out")


def test_an_earlier_result_stays_unless_overwritten(
    whole: Embeddings, catalog: Catalog, encoder: Encoder, tmp_path: Path
) -> None:
    with pytest.raises(PerisphereError, match="exists already"):
        embed(catalog, encoder, tmp_path / "whole")
    again = embed(catalog.select(split="train"), encoder, tmp_path / "whole", overwrite=True)
    assert len(again) < len(whole)
    assert set(again.rows["split"]) == {"train"}


def test_a_catalog_without_images_is_an_error(catalog: Catalog, encoder: Encoder, tmp_path: Path) -> None:
    with pytest.raises(PerisphereError, match="has no images"):
        embed(catalog.with_table(catalog.table[:0]), encoder, tmp_path / "out")


def test_a_catalog_without_one_good_image_is_an_error(
    catalog: Catalog, encoder: Encoder, tmp_path: Path
) -> None:
    with pytest.raises(PerisphereError, match=r"none of the 2 images .*07\.png: not a "):
        embed(catalog.with_table(catalog.table[[7, 11]]), encoder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_image_without_direction_is_skipped(tmp_path: Path) -> None:
    for name, image in (("black", np.zeros((8, 8, 3), np.uint8)), ("colour", picture(1))):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    table = pl.DataFrame({"id": [0, 1], "path": ["black.png", "colour.png"]})
    plain = Preprocessing(size=(8, 8), resize="squash", mean=(0, 0, 0), std=(1, 1, 1))
    pixels = Encoder(build(NetSpec(backbone="pixels", input_size=8)), plain, name="pixels")
    result = embed(Catalog(table, tmp_path), pixels, tmp_path / "out")
    assert result.rows["path"].to_list() == ["colour.png"]
    assert result.skipped == [{"path": "black.png", "reason": "its embedding is zero and has no direction"}]


def test_a_full_disk_loses_nothing(
    whole: Embeddings, catalog: Catalog, encoder: Encoder, tmp_path: Path, monkeypatch
) -> None:
    _stopped_run(catalog, encoder, tmp_path / "out", monkeypatch)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(PerisphereError, match=r"No space left on device.*make room"):
            embed(catalog, encoder, tmp_path / "out", batch_size=2)
    assert not (tmp_path / "out").exists()
    resumed = embed(catalog, encoder, tmp_path / "out", batch_size=2)
    _same(resumed, whole)


def test_the_description_is_json_that_a_person_can_read(whole: Embeddings, tmp_path: Path) -> None:
    described = json.loads((tmp_path / "whole" / "embeddings.json").read_text())
    assert described["rows"] == 17
    assert described["run"]["precision"] in ("float32", "bfloat16")
    assert len(described["skipped"]) == 3


def test_a_photo_that_opencv_cannot_resize_is_skipped_with_the_reason(
    catalog: Catalog, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Preprocessing.__call__
    seen = []

    def without_memory(self: Preprocessing, image: np.ndarray, box: object = None) -> np.ndarray:
        seen.append(image)
        if len(seen) == 1:
            cv2.resize(image, (0, 0))  # raises cv2.error
        return usual(self, image)

    monkeypatch.setattr(Preprocessing, "__call__", without_memory)
    embeddings = embed(catalog, encoder, tmp_path / "out", workers=1)
    (skipped,) = [one for one in embeddings.skipped if "resized" in one["reason"]]
    assert skipped["path"] == "00.png"
    assert skipped["reason"].startswith("cannot be resized (")
