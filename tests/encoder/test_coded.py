import numpy as np
import polars as pl
import pytest

from perisphere.codes import Codebooks
from perisphere.codes.metric import metric_root
from perisphere.encoder import Embeddings, coded
from perisphere.encoder.coded import encode_embeddings, features, fit_codebooks, refit_codebooks
from perisphere.errors import PerisphereError

COUNT, DIM = 400, 8


@pytest.fixture
def embeddings(tmp_path) -> Embeddings:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(COUNT, 3)) @ rng.normal(size=(3, DIM)) + 0.1 * rng.normal(size=(COUNT, DIM))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    rows = pl.DataFrame({"id": range(COUNT), "path": [f"{n}.jpg" for n in range(COUNT)]})
    lengths = rng.uniform(20, 40, COUNT).astype(np.float32)
    encoder = {"name": "tiny", "identity": "a" * 16, "dim": DIM}
    return Embeddings(vectors, rows, root=tmp_path, encoder=encoder, lengths=lengths)


def _without_lengths(embeddings: Embeddings) -> Embeddings:
    return Embeddings(embeddings.vectors, embeddings.rows, root=embeddings.root, encoder=embeddings.encoder)


def test_features_are_unit_rows_or_have_their_lengths(embeddings) -> None:
    np.testing.assert_array_equal(features(embeddings, slice(3, 9), unit=True), embeddings.vectors[3:9])
    raw = features(embeddings, slice(3, 9), unit=False)
    np.testing.assert_allclose(np.linalg.norm(raw, axis=1), embeddings.lengths[3:9], rtol=1e-5)
    half = Embeddings(
        embeddings.vectors.astype(np.float16), embeddings.rows, root=embeddings.root, encoder={}
    )
    lengths = np.linalg.norm(features(half, slice(None), unit=True), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-6)


def test_codebooks_know_what_they_were_made_for_and_what_they_lose(embeddings) -> None:
    books = fit_codebooks(embeddings, "rq", 2, 16)
    assert books.about["encoder"] == "a" * 16
    assert books.about["vectors"] == COUNT
    made = encode_embeddings(embeddings, books)
    lost = np.square(embeddings.vectors - books.decode(made.codes)).sum(axis=1).mean()
    assert books.about["lost"] == pytest.approx(lost, rel=1e-4)
    assert made.run["lost"] == pytest.approx(lost, rel=1e-4)


def test_codes_do_not_depend_on_the_blocks(embeddings, monkeypatch) -> None:
    books = fit_codebooks(embeddings, "additive", 2, 16, rounds=1)
    whole = encode_embeddings(embeddings, books, seed=3)
    monkeypatch.setattr(coded, "ROWS", 37)
    parts = encode_embeddings(embeddings, books, seed=3)
    assert (parts.codes == whole.codes).mean() > 0.99
    assert parts.run["lost"] == pytest.approx(whole.run["lost"], rel=1e-4)


def test_more_vectors_than_are_needed_are_drawn_from(embeddings, monkeypatch) -> None:
    monkeypatch.setattr(coded, "SAMPLE", 10)
    one, again, other = (fit_codebooks(embeddings, "pq", 2, 16, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.words, again.words)
    assert (one.words != other.words).any()
    assert one.about["vectors"] == COUNT


def test_raw_codebooks_describe_features_with_their_lengths(embeddings) -> None:
    books = fit_codebooks(embeddings, "additive", 2, 16, unit=False)
    made = encode_embeddings(embeddings, books)
    assert not books.unit
    raw = features(embeddings, slice(None), unit=False)
    lost = np.square(raw - books.decode(made.codes)).sum() / np.square(raw).sum()
    assert lost == pytest.approx(made.run["lost"], rel=1e-4)
    assert lost < 0.2
    with pytest.raises(PerisphereError, match="codes fit --start"):
        encode_embeddings(_without_lengths(embeddings), books)


@pytest.mark.parametrize("unit", [True, False])
def test_refitting_brings_words_to_the_other_lengths(embeddings, unit) -> None:
    begin = fit_codebooks(embeddings, "additive", 2, 16, unit=not unit)
    found = refit_codebooks(embeddings, begin, unit=unit, rounds=1)
    fresh = fit_codebooks(embeddings, "additive", 2, 16, unit=unit)
    assert found.unit == unit
    assert found.about["start"] == begin.fingerprint
    assert found.about["lost"] < 1.2 * fresh.about["lost"]
    with pytest.raises(PerisphereError, match="lengths"):
        refit_codebooks(_without_lengths(embeddings), begin, unit=unit)


def test_a_metric_is_kept_or_exchanged(embeddings) -> None:
    roots = [metric_root(np.random.default_rng(seed).normal(size=(5, DIM))) for seed in (1, 2)]
    begin = fit_codebooks(embeddings, "additive", 2, 16, root=roots[0])
    np.testing.assert_array_equal(begin.metric, roots[0])
    np.testing.assert_array_equal(refit_codebooks(embeddings, begin, rounds=1).metric, roots[0])
    other = refit_codebooks(embeddings, begin, root=roots[1], rounds=1)
    np.testing.assert_array_equal(other.metric, roots[1])
    again = refit_codebooks(embeddings, begin, rounds=3)
    assert again.about["lost"] < 1.02 * begin.about["lost"]


def test_another_encoder_or_dimension_is_refused(embeddings) -> None:
    books = fit_codebooks(embeddings, "pq", 2, 16)
    other = Embeddings(
        embeddings.vectors, embeddings.rows, root=embeddings.root, encoder={"identity": "b" * 16}
    )
    for call in (encode_embeddings, refit_codebooks):
        with pytest.raises(PerisphereError, match="codes fit"):
            call(other, books)
    words = Codebooks(np.ones((1, 4, DIM + 1)), "additive")
    with pytest.raises(PerisphereError, match="codes fit"):
        encode_embeddings(embeddings, words)


def test_nothing_to_encode(embeddings) -> None:
    books = fit_codebooks(embeddings, "pq", 2, 16)
    empty = Embeddings(
        embeddings.vectors[:0], embeddings.rows[:0], root=embeddings.root, encoder=embeddings.encoder
    )
    made = encode_embeddings(empty, books)
    assert made.codes.shape == (0, 2)
    assert made.run["lost"] == 0
