"""The codes that one index keeps, beside its vectors or instead of them, and the search among them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError, UsageError
from perisphere.index import code_blocks
from perisphere.index.coded import Coded, refreshed
from perisphere.index.exact import Found, best
from perisphere.index.planner import Where, passing
from perisphere.index.scan import scan
from perisphere.index.shortlist import by_vectors
from perisphere.index.store import MissingVectorError, SqliteFile

if TYPE_CHECKING:
    from perisphere.codes.codebooks import Codebooks

MODES = ("beside", "only")
FILE = "codebooks.npz"
SHORTLIST = 100
"""So many of the best codes, or twice as many as are asked for, are ranked by vectors where nobody says."""

QUERIES = 1024
"""So many tables of queries are held at once."""

FILTERS = 8
"""So many filters are remembered with the rows that pass."""


def facts(codebooks: Codebooks, mode: str, dim: int) -> dict[str, Any]:
    """Return what an index of ``dim`` values a vector notes of its codes.

    Raises:
        UsageError: an unknown mode.
        PerisphereError: codebooks of features with lengths, or of another dimension.
    """
    if mode not in MODES:
        raise UsageError(f"The codes {mode!r} are unknown: choose one of {', '.join(MODES)}.")
    if not codebooks.unit:
        raise PerisphereError(
            "The codebooks were made for features with lengths, and an index keeps vectors of length 1. "
            "Refit them: `perisphere codes fit VECTORS -o UNIT.npz --start CODEBOOKS`."
        )
    if codebooks.dim != dim:
        raise PerisphereError(
            f"The codebooks are of dimension {codebooks.dim}, and the vectors of {dim}: fit codebooks to "
            "these vectors (`perisphere codes fit`)."
        )
    made = {"mode": mode, "kind": codebooks.kind, "books": codebooks.books, "bits": codebooks.bits}
    return {"codes": made | {"fingerprint": codebooks.fingerprint}} | (
        {"block_bytes": code_blocks.VECTOR_BYTES} if mode == "beside" else {}
    )


def check_company(mode: str, metric: str, recall: float | None, centroids: str | None) -> None:
    """Refuse what does not go together with codes.

    Raises:
        UsageError: another metric than cosine, a recall, or centroids without vectors.
    """
    if metric != "cosine":
        raise UsageError(f"codes score by inner products of unit vectors, not by {metric}: use cosine.")
    if recall is not None:
        raise UsageError(f"recall {recall}: an index with codes is searched by them. Leave it out.")
    if centroids == "only" or (centroids and mode == "only"):
        raise UsageError(
            "centroids beside codes change with the photos' vectors, so that these have to be kept too: "
            "leave --codes-only and --centroids-only out."
        )


class KeptCodes:
    """The newest codes of an index, of which only what has changed is read again."""

    def __init__(self, store: SqliteFile, dim: int) -> None:
        self._store, self._dim = store, dim
        self._facts: dict[str, Any] | None = store.fact("codes")
        self._lock = Lock()
        self._moment = -1
        self._newest = Coded.empty(self.books or 1)
        self._passing: dict[Where, NDArray[np.int64]] = {}

    @property
    def mode(self) -> str | None:
        """``"beside"`` the vectors, ``"only"`` (instead of them), or ``None``: no codes."""
        return None if self._facts is None else str(self._facts["mode"])

    @property
    def books(self) -> int | None:
        """Bytes a code, ``None`` where there are none."""
        return None if self._facts is None else int(self._facts["books"])

    @cached_property
    def codebooks(self) -> Codebooks:
        """What the codes mean.

        Raises:
            PerisphereError: the index keeps no codes, or the file is not the one that made them.
        """
        from perisphere.codes.codebooks import Codebooks

        if self._facts is None:
            raise PerisphereError(
                f"{self._store.folder}: keeps no codes. Make it anew with `perisphere index create --codes`."
            )
        path: Path = self._store.folder / FILE
        found = Codebooks.load(path)
        if found.fingerprint != self._facts["fingerprint"] or found.dim != self._dim:
            raise PerisphereError(
                f"{path}: are not the codebooks that made the codes of this index ({found.fingerprint} "
                f"instead of {self._facts['fingerprint']}). Put the right ones back."
            )
        return found

    def now(self) -> Coded:
        """Return the codes as they are now."""
        with self._lock:
            moment = self._store.moment()
            if moment != self._moment:
                with self._store.reading() as connection:
                    newest = refreshed(self._newest, connection)
                self._newest, self._passing = newest, {}  # a filter may ask for what has changed beside codes
                self._moment = moment
            return self._newest

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        where: Where | None = None,
        *,
        shortlist: int | None = None,
        symmetric: bool = False,
    ) -> tuple[Found, str]:
        """Return the ``k`` nearest rows of each query, and the name of the road.

        Args:
            queries: float32 ``[q, d]``, unit rows.
            k: how many.
            where: a filter.
            shortlist: so many of the best codes are ranked by their vectors; 0 ranks by codes alone.
            symmetric: score with what the query's own code says of it, rather than with the query.

        Raises:
            UsageError: a short list of codes without vectors, or one that is shorter than ``k``.
        """
        length = self._length(k, shortlist, symmetric)
        road = f"{'symmetric ' if symmetric else ''}codes of {self.codebooks.bits} bits"
        road += f", the best {length} by vectors" if length else ""
        while True:
            moment = self._store.moment()
            coded = self.now()
            chosen = None if where is None else self._places(coded, where)
            found = self._scanned(coded, chosen, queries, max(k, length), symmetric)
            wanted = min(k, len(coded))
            try:
                if length:
                    with self._store.reading() as connection:
                        found = by_vectors(connection, queries, found[0], min(wanted, found[0].shape[1]))
                return best([found], len(queries), wanted), road if where is None else f"{road} + filter"
            except MissingVectorError:
                if moment == self._store.moment():  # else a compaction took it, and all is looked up anew
                    raise

    def decoded(self, ids: NDArray[np.int64] | None = None) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return ``ids`` (any order), or all, and what their codes say of their vectors, float32 ``[n, d]``.

        Raises:
            PerisphereError: an id that is not in the index.
        """
        coded = self.now()
        if ids is None:
            return coded.ids.all(), self.codebooks.decode(coded.codes)
        unique, back = np.unique(ids, return_inverse=True)
        places = coded.ids.places(unique)
        if len(places) < len(unique):
            missing = np.setdiff1d(unique, coded.ids.at(places))[0]
            raise PerisphereError(f"The index holds no image with id {missing}.")
        return ids, self.codebooks.decode(coded.codes[places])[back]

    def info(self) -> dict[str, Any] | None:
        """Return what the codes are; plain values, for JSON."""
        if self._facts is None:
            return None
        with self._store.reading() as connection:
            query = "SELECT sum(length(codes) + length(offsets)), count(*) FROM codes"
            size, blocks = connection.execute(query).fetchone()
        return {**self._facts, "bytes": size or 0, "blocks": blocks}

    def verify(self) -> list[str]:
        """Return what is wrong with the codes or their codebooks, one line a problem."""
        if self._facts is None:
            return []
        try:
            codebooks = self.codebooks
        except PerisphereError as error:
            return [str(error)]
        words = codebooks.words.shape[1]
        return code_blocks.verify(self._store, codebooks.books, words, only=self.mode == "only")

    def _length(self, k: int, shortlist: int | None, symmetric: bool) -> int:
        """Return how long the short list is, 0 where codes alone decide."""
        if shortlist is None:
            return 0 if self.mode == "only" or symmetric else max(SHORTLIST, 2 * k)
        if shortlist and symmetric:
            raise UsageError(
                f"a short list of {shortlist} is ranked by vectors, which a symmetric search leaves out. "
                "Choose one of --shortlist and --symmetric."
            )
        if shortlist and self.mode == "only":
            raise UsageError(
                f"{self._store.folder}: keeps codes only, and no vectors to rank a short list by. Leave "
                "--shortlist out, or make an index that keeps both (without --codes-only)."
            )
        if shortlist < 0 or 0 < shortlist < k:
            raise UsageError(
                f"a short list of {shortlist} holds no {k} results: give {k} or more, or 0 to rank by codes."
            )
        return shortlist

    def _scanned(
        self,
        coded: Coded,
        chosen: NDArray[np.int64] | None,
        queries: NDArray[np.float32],
        k: int,
        symmetric: bool,
    ) -> Found:
        """Return the ``k`` best codes, among ``chosen`` places where there is a filter."""
        codes = coded.codes if chosen is None else coded.codes[chosen]
        blocks = (queries[start : start + QUERIES] for start in range(0, max(1, len(queries)), QUERIES))
        places, scores = zip(
            *(scan(codes, self._tables(block, symmetric), k) for block in blocks), strict=True
        )
        found = np.concatenate(places)
        return coded.ids.at(found if chosen is None else chosen[found]), np.concatenate(scores)

    def _tables(self, queries: NDArray[np.float32], symmetric: bool) -> NDArray[np.float32]:
        if symmetric:
            queries = self.codebooks.decode(self.codebooks.encode(queries))
        return self.codebooks.tables(queries)

    def _places(self, coded: Coded, where: Where) -> NDArray[np.int64]:
        """Return the places of the rows that pass, remembered while the codes are the newest."""
        known = self._passing.get(where) if coded is self._newest else None
        if known is not None:
            return known
        with self._store.reading() as connection:
            places = coded.ids.places(passing(connection, where))
        with self._lock:
            if coded is self._newest:
                while len(self._passing) >= FILTERS:
                    del self._passing[next(iter(self._passing))]
                self._passing[where] = places
        return places
