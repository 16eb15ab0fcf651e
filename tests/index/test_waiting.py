"""Long work moves a bar up to its end; short work shows none."""

from contextlib import contextmanager

import numpy as np
import PIL.Image
import polars as pl
import pytest
from test_approximate import clusters, shrink

from perisphere.encoder import Encoder, Preprocessing
from perisphere.index import Index, waiting
from perisphere.nets import NetSpec, build


@pytest.fixture
def bars(monkeypatch):
    """What each bar shown counted, and what it was to count."""
    counted = {}

    @contextmanager
    def bar(description, total, unit="images"):
        counted[description] = [0, total]

        def advance(n=1):
            counted[description][0] += n

        yield advance

    monkeypatch.setattr(waiting, "bar", bar)
    return counted


def work(index: Index) -> None:
    ids = index.add(clusters(3000), pl.DataFrame({"label": [str(i % 9) for i in range(3000)]}))
    index.remove(ids[:9])
    index.compact()
    index.verify()
    index.calibrate()
    index.duplicates()


def test_every_long_work_has_a_bar(tmp_path, monkeypatch, bars):
    shrink(monkeypatch)
    monkeypatch.setattr(waiting, "PATIENCE", 0.0)
    with Index.create(tmp_path / "index", 32, recall=0.9) as index:
        work(index)
    assert set(bars) == {"adding", "building cells", "compacting", "verifying", "calibrating", "comparing"}
    for done, total in bars.values():
        assert done == total > 0


def test_copies_have_a_bar(tmp_path, monkeypatch, bars):
    monkeypatch.setattr(waiting, "PATIENCE", 0.0)
    encoder = Encoder(build(NetSpec(backbone="pixels", input_size=4)), Preprocessing(size=(4, 4)), name="p")
    files = [tmp_path / f"{number}.png" for number in range(40)]
    random = np.random.default_rng(0)
    for file in files:
        PIL.Image.fromarray(random.integers(0, 255, (8, 8, 3)).astype(np.uint8)).save(file)
    with Index.create(tmp_path / "index", encoder=encoder) as index:
        index.add(encoder.encode(files), pl.DataFrame({"path": [file.name for file in files]}), root=tmp_path)
        index.calibrate()
    assert bars["copying"] == [40, 40]


def test_short_work_has_none(tmp_path, monkeypatch, bars):
    monkeypatch.setattr(waiting, "PATIENCE", 60.0)
    with Index.create(tmp_path / "index", 32) as index:
        work(index)
    assert set(bars) == {"verifying"}  # its longest part cannot tell how far it is


def test_a_bar_that_comes_late_counts_what_was_done(monkeypatch, bars):
    now = iter([0.0, 0.5, 1.5])
    monkeypatch.setattr(waiting, "monotonic", lambda: next(now))
    with waiting.patient_bar("waiting", 9) as advance:
        advance(4)
        assert bars == {}
        advance(2)
        advance(3)
    assert bars == {"waiting": [9, 9]}
