"""Codebooks: words whose sums stand for vectors, so that a vector shrinks to one byte a book."""

import hashlib
import json
import zipfile
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from perisphere.codes.assignment import BLOCK, assign, nearest_words
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets.arrays import read_npz
from perisphere.storage import whole_file

Kind = Literal["product", "residual", "additive"]
Codes = NDArray[np.uint8]
Floats = NDArray[np.float32]

FORMAT = 1
MAX_WORDS = 256  # a code is one byte a book
ROWS = 65_536  # decoded or compared at once

_DAMAGE = (ValueError, TypeError, LookupError, EOFError, zipfile.BadZipFile, zlib.error, RecursionError)


@dataclass(frozen=True, eq=False)
class Codebooks:
    """``M`` books of ``K`` words; a vector is approximated by the sum of one word of each book.

    The words are full-dimensional for every kind: a product code's are zero outside their slice (those of an
    optimised product code are rotated back), so that decoding is always a sum, and the score of a code is a
    sum of ``M`` numbers of a table.

    Attributes:
        words: float32 ``[M, K, d]``, ``K`` at most 256.
        kind: ``product``: the words of different books are orthogonal; ``residual``: each book describes what
            the books before it leave; ``additive``: all books share all directions.
        unit: whether they describe unit rows, rather than features of the lengths that the network gives.
        metric: float32 ``[d, d]``, a root ``S`` of the metric ``G = S S'`` in which errors count; ``None`` is
            the Euclidean one.
        about: how they were made (JSON values).
    """

    words: Floats
    kind: Kind
    unit: bool = True
    metric: Floats | None = None
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together.

        Raises:
            PerisphereError: the kind is unknown, or shapes or values do not fit.
        """
        words = np.asarray(self.words)
        if self.kind not in get_args(Kind):
            raise PerisphereError(f"codebooks of kind {self.kind!r}; it is {', '.join(get_args(Kind))}.")
        if words.ndim != 3 or not words.size or words.shape[1] > MAX_WORDS:
            raise PerisphereError(
                f"codewords {list(words.shape)}: [books, words, dim] with 1 to {MAX_WORDS} words is needed."
            )
        object.__setattr__(self, "words", _finite(words, "codewords"))
        if self.metric is not None:
            metric = _finite(np.asarray(self.metric), "the metric")
            if metric.shape != (self.dim, self.dim):
                raise PerisphereError(
                    f"a metric {list(metric.shape)} for codewords of {self.dim} numbers: "
                    f"[{self.dim}, {self.dim}] is needed."
                )
            object.__setattr__(self, "metric", metric)

    @property
    def books(self) -> int:
        """``M``."""
        return len(self.words)

    @property
    def bytes(self) -> int:
        """Of a code."""
        return self.books

    @property
    def bits(self) -> int:
        """Of a code: 8 a book, however few words a book has."""
        return 8 * self.books

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return int(self.words.shape[2])

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits; equal where two codebooks give and read the same codes."""
        digest = hashlib.sha256(f"{self.kind} {self.unit} {self.words.shape}".encode())
        for array in (self.words, self.metric):
            digest.update(b"" if array is None else array.astype("<f4").tobytes())
        return digest.hexdigest()[:16]

    def encode(
        self,
        vectors: NDArray,
        *,
        sweeps: int | None = None,
        restarts: int | None = None,
        beam: int | None = None,
        seed: int = 0,
        block: int = BLOCK,
    ) -> Codes:
        """Choose the words of each vector.

        A product code without a metric is found exactly, book by book: ``sweeps``, ``restarts`` and ``beam``
        limit a search that it does not need. Of the others what is ``None`` follows the kind: a residual code
        is searched by a beam of 16 alone, an additive one by 3 sweeps, 4 restarts and a beam of 8.

        Args:
            vectors: ``[n, d]``, unit rows where the codebooks are ``unit``.
            sweeps: over all books, of iterated conditional modes.
            restarts: perturbations of the best code so far, kept where they are better.
            beam: partial codes kept while books are added one by one; 0 searches without a beam.
            seed: of the order of the books and of the perturbations.
            block: rows at once; it changes memory and speed only.

        Returns:
            uint8 ``[n, M]``.

        Raises:
            PerisphereError: vectors of another dimension, or not finite.
            UsageError: an option is out of its range.
        """
        vectors = self._checked(vectors)
        if self.kind == "product" and self.metric is None:
            return nearest_words(vectors, self.words, block=block)
        usual = (0, 0, 16) if self.kind == "residual" else (3, 4, 8)
        chosen = (sweeps, restarts, beam)
        sweeps, restarts, beam = (
            given if given is not None else own for given, own in zip(chosen, usual, strict=True)
        )
        return assign(
            vectors,
            self.words,
            root=self.metric,
            sweeps=sweeps,
            restarts=restarts,
            beam=beam,
            seed=seed,
            block=block,
        )

    def decode(self, codes: NDArray) -> Floats:
        """Return the sum of the words of each code, float32 ``[n, d]``.

        Raises:
            PerisphereError: codes of another number of books, or that name a word there is not.
        """
        codes = np.asarray(codes)
        if codes.ndim != 2 or codes.shape[1] != self.books or codes.dtype.kind not in "iu":
            raise PerisphereError(
                f"codes {list(codes.shape)} of {codes.dtype}: [n, {self.books}] whole numbers are needed."
            )
        if codes.size and not 0 <= int(codes.min()) <= int(codes.max()) < self.words.shape[1]:
            raise PerisphereError(
                f"codes name words {codes.min()} to {codes.max()}, but a book has {self.words.shape[1]}; "
                "encode with these codebooks."
            )
        decoded = self.words[0][codes[:, 0]]
        for book, words in enumerate(self.words[1:], 1):
            decoded += words[codes[:, book]]
        return decoded

    def tables(self, queries: NDArray) -> Floats:
        """Return the inner product of each query with each word, float32 ``[q, M, K]``.

        The sum of a code's ``M`` entries is the inner product of the query with the decoded vector.

        Raises:
            PerisphereError: queries of another dimension, or not finite.
        """
        queries = self._checked(queries).astype(np.float32, copy=False)
        products = queries @ self.words.reshape(-1, self.dim).T
        return products.reshape(len(queries), *self.words.shape[:2])

    def error(self, vectors: NDArray, codes: NDArray) -> NDArray[np.float64]:
        """Return the squared length, in the metric, of what each code leaves of its vector, ``[n]``."""
        vectors = self._checked(vectors)
        if len(vectors) != len(codes):
            raise PerisphereError(f"{len(vectors)} vectors and {len(codes)} codes; give one code a vector.")
        errors = np.empty(len(vectors))
        for start in range(0, len(vectors), ROWS):
            rows = slice(start, start + ROWS)
            rest = np.asarray(vectors[rows], np.float32) - self.decode(codes[rows])
            rest = rest if self.metric is None else rest @ self.metric
            errors[rows] = np.einsum("nd,nd->n", rest, rest, dtype=np.float64)
        return errors

    def _checked(self, vectors: NDArray) -> NDArray:
        vectors = np.asarray(vectors)
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise PerisphereError(
                f"vectors {list(vectors.shape)} for codebooks of {self.dim} numbers: [n, {self.dim}] is "
                "needed; fit codebooks to these vectors with `perisphere codes fit`."
            )
        for start in range(0, len(vectors), ROWS):
            if not np.isfinite(vectors[start : start + ROWS]).all():
                raise PerisphereError("vectors hold values that are NaN or infinite; embed them again.")
        return vectors

    def save(self, path: Path | str) -> Path:
        """Write one ``.npz`` of plain arrays, whole or not at all.

        Raises:
            UsageError: the suffix is another.
            PerisphereError: the file cannot be written.
        """
        path = Path(path)
        if path.suffix != ".npz":
            raise UsageError(f"{path}: codebooks are written as .npz. Name such a file.")
        record = {"format": FORMAT, "kind": self.kind, "unit": self.unit, "about": self.about}
        text = json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogateescape")
        arrays = {"words": self.words, "record": np.frombuffer(text, np.uint8)}
        if self.metric is not None:
            arrays["metric"] = self.metric
        with whole_file(path) as part, part.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        return path

    @classmethod
    def load(cls, path: Path | str) -> "Codebooks":
        """Read what :meth:`save` wrote; runs no code.

        Raises:
            PerisphereError: the file is missing, damaged, holds something else, or is of a newer format.
        """
        path = Path(path)
        try:
            with zipfile.ZipFile(path) as archive:
                arrays = {name: each.numpy() for name, each in read_npz(archive, path.stat().st_size).items()}
            record = json.loads(arrays["record"].tobytes().decode("utf-8", "surrogateescape"))
            return _from_arrays(record, arrays)
        except FileNotFoundError as error:
            raise PerisphereError(f"{path}: not found; write it with `perisphere codes fit`.") from error
        except OSError as error:
            raise PerisphereError(f"{path}: cannot be read ({error.strerror or error}).") from error
        except PerisphereError as error:
            raise PerisphereError(f"{path}: {error}") from None
        except _DAMAGE as error:
            reason = " ".join(str(error).split())[:200]
            raise PerisphereError(
                f"{path}: holds no codebooks ({reason}); write it with `perisphere codes fit`."
            ) from error


def _from_arrays(record: Any, arrays: dict[str, NDArray]) -> Codebooks:
    """Check the record and build the codebooks; a ValueError names what is wrong."""
    if not isinstance(record, dict) or not isinstance(record.get("format"), int):
        raise ValueError("it has no format number")
    if record["format"] > FORMAT:
        raise PerisphereError(
            f"format {record['format']} is newer than this Perisphere reads ({FORMAT}); upgrade with "
            "`pip install -U perisphere`."
        )
    if not isinstance(record["unit"], bool) or not isinstance(record["about"], dict):
        raise ValueError("its record is damaged")
    return Codebooks(arrays["words"], record["kind"], record["unit"], arrays.get("metric"), record["about"])


def _finite(array: NDArray, name: str) -> Floats:
    """Return contiguous float32; refuse what is no finite number."""
    with np.errstate(over="ignore"):
        found = np.ascontiguousarray(array, np.float32) if array.dtype.kind in "fiu" else None
    if found is None or not np.isfinite(found).all():
        raise PerisphereError(f"{name}: holds values that are no finite numbers; fit the codebooks again.")
    return found
