"""Vectors kept as float16: half the file, the same directions to three digits, also after a kill."""

from pathlib import Path

import numpy as np
import pytest

from perisphere.catalog import Catalog
from perisphere.encoder import Embeddings, Encoder, embed
from perisphere.encoder.journal import JOURNAL
from perisphere.index import Index


@pytest.fixture
def halves(catalog: Catalog, encoder: Encoder, tmp_path: Path) -> Embeddings:
    return embed(catalog, encoder, tmp_path / "half", batch_size=2, half=True)


def test_half_the_numbers_are_there(
    halves: Embeddings, catalog: Catalog, encoder: Encoder, tmp_path: Path
) -> None:
    full = embed(catalog, encoder, tmp_path / "full", batch_size=2)
    assert (halves.vectors.dtype, full.vectors.dtype) == (np.float16, np.float32)
    np.testing.assert_allclose(halves.vectors, full.vectors, rtol=5e-4, atol=1e-6)
    assert halves.rows.equals(full.rows)
    assert len(halves.select(split=None)) == len(full)


def test_an_index_takes_them(halves: Embeddings, tmp_path: Path) -> None:
    with Index.create(tmp_path / "index", halves.dim) as index:
        index.add(halves.vectors, halves.rows.drop("id"), root=halves.root)
        found = index.search(np.asarray(halves.vectors[:3], np.float32), 1)
    np.testing.assert_allclose(found.scores[:, 0], 1, atol=1e-5)


def test_a_killed_run_goes_on_in_half_precision(
    catalog: Catalog, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = embed(catalog, encoder, tmp_path / "whole", batch_size=2, half=True)
    monkeypatch.setattr("perisphere.encoder.embedding_loop.SYNC_SECONDS", 0)
    calls = []

    def stop(inference: object, pictures: np.ndarray) -> np.ndarray:
        calls.append(len(pictures))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return encode(inference, pictures)

    from perisphere.encoder.inference import Inference

    encode = Inference.__call__
    monkeypatch.setattr(Inference, "__call__", stop)
    with pytest.raises(KeyboardInterrupt):
        embed(catalog, encoder, tmp_path / "torn", batch_size=2, half=True)
    assert (tmp_path / ".torn.partial" / JOURNAL).is_file()
    monkeypatch.setattr(Inference, "__call__", encode)
    again = embed(catalog, encoder, tmp_path / "torn", batch_size=2, half=True)
    assert again.run["resumed_at"] > 0
    np.testing.assert_array_equal(again.vectors, whole.vectors)
