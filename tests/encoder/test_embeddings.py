import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from perisphere.encoder import Embeddings
from perisphere.errors import PerisphereError


@pytest.fixture
def embeddings(tmp_path: Path) -> Embeddings:
    vectors = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    rows = pl.DataFrame({"id": range(6), "split": ["train", "test", None, "test", "val", "train"]})
    encoder = {"name": "tiny", "identity": "0" * 16, "dim": 4, "path": None}
    lengths = np.arange(1, 7, dtype=np.float32)
    skipped = [{"path": "a\nb.jpg", "reason": "truncated"}]
    return Embeddings(
        vectors, rows, root=tmp_path, encoder=encoder, skipped=skipped, run={"device": "cpu"}, lengths=lengths
    )


def test_load_gives_back_what_was_saved(embeddings: Embeddings, tmp_path: Path) -> None:
    loaded = Embeddings.load(embeddings.save(tmp_path / "out"))
    np.testing.assert_array_equal(loaded.vectors, embeddings.vectors)
    assert isinstance(loaded.vectors, np.memmap)
    np.testing.assert_array_equal(loaded.lengths, embeddings.lengths)
    assert loaded.rows.equals(embeddings.rows)
    for name in ("root", "encoder", "skipped", "run", "dim"):
        assert getattr(loaded, name) == getattr(embeddings, name)
    assert len(loaded) == 6


def test_rows_of_a_version_without_concepts_have_none(embeddings: Embeddings, tmp_path: Path) -> None:
    embeddings.save(tmp_path / "e")
    pl.read_parquet(tmp_path / "e/rows.parquet").drop("concepts").write_parquet(tmp_path / "e/rows.parquet")
    assert Embeddings.load(tmp_path / "e").rows["concepts"].to_list() == [[]] * 6


def test_no_rows_are_saved_and_loaded(embeddings: Embeddings, tmp_path: Path) -> None:
    empty = Embeddings(embeddings.vectors[:0], embeddings.rows[:0], root=tmp_path, encoder=embeddings.encoder)
    assert Embeddings.load(empty.save(tmp_path / "out")).vectors.shape == (0, 4)


@pytest.mark.parametrize(
    ("split", "ids"), [("test", [1, 3]), (["train", "val"], [0, 4, 5]), (None, [0, 1, 2, 3, 4, 5])]
)
def test_select_takes_vectors_and_rows_together(embeddings: Embeddings, split, ids: list[int]) -> None:
    selected = embeddings.select(split=split)
    assert selected.rows["id"].to_list() == ids
    np.testing.assert_array_equal(selected.vectors, embeddings.vectors[ids])
    np.testing.assert_array_equal(selected.lengths, embeddings.lengths[ids])


def test_a_folder_of_an_earlier_version_has_no_lengths(embeddings: Embeddings, tmp_path: Path) -> None:
    folder = embeddings.save(tmp_path / "out")
    (folder / "lengths.npy").unlink()
    assert Embeddings.load(folder).lengths is None


def test_select_names_an_unknown_split_and_the_known_ones(embeddings: Embeddings) -> None:
    with pytest.raises(PerisphereError, match=r"'query'.*test, train, val"):
        embeddings.select(split="query")


def test_shapes_that_do_not_fit_are_refused(embeddings: Embeddings, tmp_path: Path) -> None:
    def made(vectors: np.ndarray) -> Embeddings:
        return Embeddings(vectors, embeddings.rows, root=tmp_path, encoder=embeddings.encoder)

    with pytest.raises(PerisphereError, match="one row a vector"):
        made(embeddings.vectors[:5])
    with pytest.raises(PerisphereError, match="lengths of float32"):
        Embeddings(
            embeddings.vectors,
            embeddings.rows,
            root=tmp_path,
            encoder=embeddings.encoder,
            lengths=np.ones(5, np.float32),
        )
    with pytest.raises(PerisphereError, match="float32"):
        made(embeddings.vectors.astype(np.float64))
    with pytest.raises(PerisphereError, match=r"\[24\]"):
        made(embeddings.vectors.ravel())
    with pytest.raises(PerisphereError, match="encoder gives 4"):
        made(embeddings.vectors[:, :3])


def _removed(name: str):
    return lambda folder: (folder / name).unlink()


def _cut(name: str):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-30])


def _other_vectors(folder: Path) -> None:
    np.save(folder / "vectors.npy", np.zeros((5, 4), np.float32))


def _other_lengths(folder: Path) -> None:
    np.save(folder / "lengths.npy", np.ones(5, np.float32))


def _pickled_vectors(folder: Path) -> None:
    np.save(folder / "vectors.npy", np.array([[{}]], object), allow_pickle=True)


def _unclosed_header(folder: Path) -> None:
    path = folder / "vectors.npy"
    path.write_bytes(path.read_bytes().replace(b"False", b"F{lse"))


def _newer(folder: Path) -> None:
    path = folder / "embeddings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))


def _without_rows(folder: Path) -> None:
    path = folder / "embeddings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "rows": "six"}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_removed("vectors.npy"), r"vectors\.npy: not found"),
        (_removed("rows.parquet"), r"rows\.parquet: not found"),
        (_removed("embeddings.json"), r"embeddings\.json: not found"),
        (_cut("vectors.npy"), r"vectors\.npy: cannot be read"),
        (_cut("rows.parquet"), r"rows\.parquet: cannot be read"),
        (_cut("embeddings.json"), r"embeddings\.json: cannot be read"),
        (_other_lengths, r"lengths\.npy: holds float32 \[5\], but rows\.parquet 6 rows"),
        (_other_vectors, r"vectors\.npy holds \[5, 4\]"),
        (_pickled_vectors, r"vectors\.npy: cannot be read"),
        (_unclosed_header, r"vectors\.npy: cannot be read"),
        (_newer, r"format 2 is newer"),
        (_without_rows, r"'rows' is missing or damaged"),
    ],
)
def test_a_damaged_folder_is_an_error_that_names_the_file(
    embeddings: Embeddings, tmp_path: Path, damage, message: str
) -> None:
    folder = embeddings.save(tmp_path / "out")
    damage(folder)
    with pytest.raises(PerisphereError, match=message):
        Embeddings.load(folder)
