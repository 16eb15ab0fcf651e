"""Codebooks fitted to vectors alone: product, optimised product, residual and additive quantization.

Product: Jegou, Douze and Schmid, TPAMI 2011. Optimised product: Ge, He, Ke and Sun, CVPR 2013. Residual:
Chen, Guan and Wang, Sensors 2010, with a beam (Martinez, Hoos and Little, 2014). These are FAISS's. Additive:
codes and words in turn, as WSDHQ does, from FAISS's residual words.
"""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from perisphere.codes.assignment import assign
from perisphere.codes.books import SEEDS, sample, start, update
from perisphere.codes.codebooks import Codebooks
from perisphere.errors import PerisphereError, UsageError
from perisphere.progress import bar, track

Floats = NDArray[np.float32]
Method = Literal["pq", "opq", "rq", "additive"]

ROUNDS = 5
BEAM, RESTARTS = 8, 2
"""Of the assignments between two updates of additive words."""


def fit(
    vectors: NDArray, method: Method, books: int, words: int = 256, *, unit: bool = True, seed: int = 0
) -> Codebooks:
    """Fit codebooks to vectors, the same ones for the same seed and number of threads.

    Args:
        vectors: ``[n, d]``, at least as many rows as a book has words; of more than 256 a word, so many are
            drawn.
        method: ``pq``, ``opq``, ``rq`` or ``additive``.
        books: ``M``; a code takes as many bytes. ``opq`` needs that it divides ``d``.
        words: ``K`` of a book, at most 256; a power of two for ``opq`` and ``rq``.
        unit: whether the vectors are unit rows; it is noted in the codebooks.
        seed: of the draw and of the first centres.

    Raises:
        PerisphereError: too few vectors, or values that are not finite.
        UsageError: an argument is out of its range.
    """
    ways: dict[str, Callable[[Floats, int, int, int], Floats]] = {
        "pq": _product,
        "opq": _rotated_product,
        "rq": _residual,
    }
    if method == "additive":
        return fit_additive(vectors, books, words, unit=unit, seed=seed)
    if method not in ways:
        raise UsageError(f"method {method!r}; it is {', '.join(get_args(Method))}.")
    drawn = sample(vectors, words, seed=seed)
    about = {"method": method, "vectors": len(vectors), "seed": seed}
    kind: Literal["residual", "product"] = "residual" if method == "rq" else "product"
    with bar(f"fitting {method}", None, "books"):
        found = ways[method](drawn, books, words, seed)
    return Codebooks(found, kind, unit, about=about)


def fit_additive(
    vectors: NDArray,
    books: int | None = None,
    words: int | None = None,
    *,
    begin: Floats | None = None,
    root: Floats | None = None,
    rounds: int = ROUNDS,
    unit: bool = True,
    seed: int = 0,
) -> Codebooks:
    """Fit additive codebooks: codes for the words and words for the codes, in turn.

    Args:
        vectors: ``[n, d]``; of more than 256 a word, so many are drawn.
        books: ``M``; left out where ``begin`` is given.
        words: ``K``, by default 256; left out where ``begin`` is given.
        begin: float32 ``[M, K, d]``, the words to begin with; ``None`` begins with residual words.
        root: ``[d, d]`` root of the metric in which codes are assigned; ``None`` is the Euclidean one.
        rounds: assignments and updates.
        unit: whether the vectors are unit rows; it is noted in the codebooks.
        seed: of the draw, of the first words and of the search for codes.

    Raises:
        PerisphereError: too few vectors, or values that are not finite.
        UsageError: an argument is out of its range, or missing.
    """
    if rounds < 1:
        raise UsageError(f"rounds is {rounds}; it must be at least 1.")
    if begin is None and books is None:
        raise UsageError("neither books nor words to begin with; give one of them.")
    dim = vectors.shape[1]
    for name, given in (("tags", root), ("words to begin with", begin)):
        if given is not None and given.shape[-1] != dim:
            raise PerisphereError(
                f"{name} of {given.shape[-1]} numbers for vectors of {dim}; give those of their space."
            )
    count = begin.shape[1] if begin is not None else words or 256
    drawn = sample(vectors, count, seed=seed)
    found = begin if begin is not None else _residual(drawn, books or 1, count, seed)
    for turn in track(range(rounds), "fitting", unit="rounds"):
        codes = assign(drawn, found, root=root, beam=BEAM, restarts=RESTARTS, seed=seed + turn)
        found = update(drawn, codes, found)
    about = {"method": "additive", "vectors": len(vectors), "rounds": rounds, "seed": seed}
    return Codebooks(found, "additive", unit, root, about)


def _product(vectors: Floats, books: int, words: int, seed: int) -> Floats:
    return start(vectors, books, words, seed=seed)


def _rotated_product(vectors: Floats, books: int, words: int, seed: int) -> Floats:
    """Rotate so that slices are alike and independent; the words are turned back."""
    from perisphere.sphere.engine import faiss

    dim = vectors.shape[1]
    if books < 1 or dim % books:
        raise UsageError(
            f"opq cuts vectors of {dim} numbers into {books} equal slices, which is not possible; choose "
            "another number of bits, or pq, rq or additive."
        )
    machine = faiss.OPQMatrix(dim, books)
    within = faiss.ProductQuantizer(dim, books, _bits(words, "opq"))
    within.cp.min_points_per_centroid, within.cp.seed = 1, seed % SEEDS
    machine.pq = within
    repeated = _repeated(vectors)
    machine.max_train_points = len(repeated)
    machine.train(repeated)
    rotation = faiss.vector_to_array(machine.A).reshape(dim, dim)
    return start(vectors @ rotation.T, books, words, seed=seed) @ rotation


def _residual(vectors: Floats, books: int, words: int, seed: int) -> Floats:
    from perisphere.sphere.engine import faiss

    dim = vectors.shape[1]
    if books < 1:
        raise UsageError(f"{books} books; at least 1 is needed.")
    machine = faiss.ResidualQuantizer(dim, books, _bits(words, "rq"))
    machine.cp.min_points_per_centroid, machine.cp.seed = 1, seed % SEEDS
    repeated = _repeated(vectors)
    machine.cp.max_points_per_centroid = len(repeated)
    machine.train(repeated)
    return faiss.vector_to_array(machine.codebooks).reshape(books, words, dim).copy()


def _repeated(vectors: Floats) -> Floats:
    """Repeat rows that are fewer than their numbers, each as often: the best words stay the same.

    Of fewer, FAISS 1.15 writes beyond its memory (opq) or refuses to find principal directions (rq).
    """
    count, dim = vectors.shape
    return np.tile(vectors, (-(-dim // count), 1)) if count < dim else vectors


def _bits(words: int, method: str) -> int:
    bits = words.bit_length() - 1
    if words != 1 << bits:
        raise UsageError(f"{words} words a book; {method} needs a power of two, as 16, 64 or 256.")
    return bits
