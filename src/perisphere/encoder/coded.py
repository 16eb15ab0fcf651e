"""Embeddings as codes: fitting codebooks to a folder of vectors, and encoding it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perisphere.codes.books import SAMPLE, update
from perisphere.codes.code_folder import CodeFolder
from perisphere.codes.codebooks import Codebooks
from perisphere.codes.unsupervised import ROUNDS, Method, fit, fit_additive
from perisphere.encoder.embeddings import Embeddings
from perisphere.errors import PerisphereError
from perisphere.progress import bar
from perisphere.sphere import normalise

ROWS = 16_384
"""Vectors that are read and encoded at a time."""

Floats = NDArray[np.float32]


def features(embeddings: Embeddings, rows: NDArray[np.int64] | slice, *, unit: bool) -> Floats:
    """Return some rows as unit rows, or with the lengths that the network gave, float32 ``[n, d]``.

    Raises:
        PerisphereError: the lengths are asked for and were not kept.
    """
    if not unit and embeddings.lengths is None:
        raise PerisphereError(
            "these vectors were written without the lengths of the features, which these codebooks need; "
            "embed again, or refit the codebooks on unit rows with `perisphere codes fit --start CODEBOOKS`."
        )
    found = np.asarray(embeddings.vectors[rows], np.float32)
    if embeddings.vectors.dtype == np.float16:
        found = normalise(found)
    return found if unit or embeddings.lengths is None else found * embeddings.lengths[rows, None]


def fit_codebooks(
    embeddings: Embeddings,
    method: Method = "additive",
    books: int = 4,
    words: int = 256,
    *,
    unit: bool = True,
    root: Floats | None = None,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> Codebooks:
    """Fit codebooks to embeddings; see :func:`perisphere.codes.unsupervised.fit`.

    Args:
        embeddings: at least as many as a book has words; 256 a word are drawn and held in memory.
        method: ``pq``, ``opq``, ``rq`` or ``additive``.
        books: ``M``.
        words: ``K``.
        unit: fit to unit rows; otherwise to features of the lengths that the network gave.
        root: of the metric, for ``additive``.
        rounds: of ``additive``.
        seed: of every draw.
    """
    drawn = _drawn(embeddings, words, unit, seed)
    if method == "additive":
        found = fit_additive(drawn, books, words, root=root, rounds=rounds, unit=unit, seed=seed)
    else:
        found = fit(drawn, method, books, words, unit=unit, seed=seed)
    return _signed(found, embeddings, drawn)


def refit_codebooks(
    embeddings: Embeddings,
    begin: Codebooks,
    *,
    unit: bool = True,
    root: Floats | None = None,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> Codebooks:
    """Go on from given codebooks, which may describe features of other lengths.

    The words of such codebooks are first brought to the new lengths: those that fit best to the new rows with
    the codes of the old ones.

    Args:
        embeddings: of the dimension of the codebooks.
        begin: what to begin with; what comes out is additive.
        unit: fit to unit rows; otherwise to features of the lengths that the network gave.
        root: of the metric; ``None`` keeps that of ``begin``.
        rounds: assignments and updates.
        seed: of every draw.

    Raises:
        PerisphereError: another dimension or encoder, too few vectors, or lengths that were not kept.
    """
    check_encoder(begin, embeddings)
    count = begin.words.shape[1]
    drawn, words = _drawn(embeddings, count, unit, seed), begin.words
    if begin.unit != unit:
        words = update(drawn, begin.encode(_drawn(embeddings, count, begin.unit, seed)), words)
    metric = begin.metric if root is None else root
    found = fit_additive(drawn, begin=words, root=metric, rounds=rounds, unit=unit, seed=seed)
    found.about["start"] = begin.fingerprint
    return _signed(found, embeddings, drawn)


def encode_embeddings(
    embeddings: Embeddings,
    codebooks: Codebooks,
    *,
    sweeps: int | None = None,
    restarts: int | None = None,
    beam: int | None = None,
    seed: int = 0,
) -> CodeFolder:
    """Encode embeddings block by block; see :meth:`perisphere.codes.Codebooks.encode`.

    Raises:
        PerisphereError: another dimension or encoder than the codebooks', or lengths that were not kept.
    """
    check_encoder(codebooks, embeddings)
    codes = np.empty((len(embeddings), codebooks.books), np.uint8)
    lost = total = 0.0
    for rows, vectors in _blocks(embeddings, codebooks.unit):
        codes[rows] = codebooks.encode(vectors, sweeps=sweeps, restarts=restarts, beam=beam, seed=seed)
        lost += float(codebooks.error(vectors, codes[rows]).sum())
        total += _squares(codebooks, vectors)
    run: dict[str, Any] = {"seed": seed, "lost": lost / total if total else 0.0}
    run |= {"sweeps": sweeps, "restarts": restarts, "beam": beam}
    return CodeFolder(
        codes, embeddings.rows, codebooks, root=Path(embeddings.root), encoder=embeddings.encoder, run=run
    )


def check_encoder(codebooks: Codebooks, embeddings: Embeddings) -> None:
    """Refuse vectors of another encoder than the one whose vectors the codebooks describe.

    Raises:
        PerisphereError: another dimension, or another encoder where both are known.
    """
    mine, theirs = codebooks.about.get("encoder"), embeddings.encoder.get("identity")
    if codebooks.dim != embeddings.dim or (mine and theirs and mine != theirs):
        raise PerisphereError(
            f"the codebooks describe vectors of {codebooks.dim} numbers of the encoder {mine or 'unknown'}, "
            f"these are of {embeddings.dim} of {theirs or 'unknown'}; fit codebooks to them with "
            "`perisphere codes fit`."
        )


def _blocks(embeddings: Embeddings, unit: bool) -> Iterator[tuple[slice, Floats]]:
    with bar("encoding", len(embeddings), "vectors") as advance:
        for start in range(0, len(embeddings), ROWS):
            rows = slice(start, min(start + ROWS, len(embeddings)))
            yield rows, features(embeddings, rows, unit=unit)
            advance(rows.stop - rows.start)


def _drawn(embeddings: Embeddings, words: int, unit: bool, seed: int) -> Floats:
    """Return the rows that codebooks are fitted to: all, or 256 a word, the same ones for the same seed."""
    count = len(embeddings)
    if count <= SAMPLE * words:
        return features(embeddings, slice(None), unit=unit)
    chosen = np.random.default_rng(seed).choice(count, SAMPLE * words, replace=False)
    return features(embeddings, np.sort(chosen), unit=unit)


def _signed(codebooks: Codebooks, embeddings: Embeddings, drawn: Floats) -> Codebooks:
    """Note the encoder, how many vectors there were, and the share of squared length that codes lose."""
    seen = drawn[:ROWS]
    lost = float(codebooks.error(seen, codebooks.encode(seen)).sum()) / _squares(codebooks, seen)
    identity = embeddings.encoder.get("identity")
    facts = {"vectors": len(embeddings), "lost": lost} | ({"encoder": identity} if identity else {})
    codebooks.about.update(facts)
    return codebooks


def _squares(codebooks: Codebooks, vectors: Floats) -> float:
    """Return the sum of squared lengths in the metric of the codebooks."""
    seen = vectors if codebooks.metric is None else vectors @ codebooks.metric
    return float(np.square(seen).sum(dtype=np.float64))
