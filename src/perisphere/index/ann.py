"""Approximate search: compressed codes in cells propose candidates, the vectors in memory decide.

FAISS holds an inverted file of 4-bit product-quantised codes (32 times smaller than the vectors); every
candidate is scored again with its true vector, which the index holds anyway. A graph (HNSW) was not chosen:
it would hold a second copy of the vectors, and loses its recall without a word under a filter.

The file is a cache: it is used only if its SHA-256 is the one in SQLite, and searches are exact without it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from perisphere.index.exact import GATHER_BYTES, Found, scores_of
from perisphere.index.ranking import NONE
from perisphere.index.snapshot import Snapshot
from perisphere.storage import whole_file

LOOP_LIMIT = 1 << 24


@dataclass(frozen=True)
class Effort:
    """How much a search looks at: the parameters that travel with each call."""

    nprobe: int
    k_factor: int


@dataclass(frozen=True, eq=False)
class Cells:
    """An immutable inverted file over the rows of one moment.

    Attributes:
        index: the FAISS index; its ids are places in ``ids``. Nothing writes to it after it was built.
        ids: int64 ``[n]``, ascending: the rows that it was built from.
        factory: what FAISS calls this kind of index.
        metric: ``"cosine"`` or ``"l2"``.
    """

    index: Any  # a faiss.IndexIVF
    ids: np.ndarray
    factory: str
    metric: str

    def search(
        self,
        snapshot: Snapshot,
        queries: np.ndarray,
        k: int,
        effort: Effort,
        allowed: np.ndarray | None = None,
    ) -> Found:
        """Return the ``k`` nearest of those rows that are still in ``snapshot``.

        Args:
            snapshot: the rows as of now; removed ones are left out, newer ones are not looked at.
            queries: float32 ``[q, d]``, unit rows for cosine.
            k: how many.
            effort: how much to look at.
            allowed: ids int64, ascending, that alone may be found.
        """
        count = min(len(self.ids), max(k, 10) * effort.k_factor)
        standing = _rows_in(self, snapshot)
        wanted = standing != NONE  # or removed rows would take the places of candidates
        if allowed is not None:
            wanted &= np.isin(self.ids, allowed, assume_unique=True)
        _, places = self.index.search(queries, count, params=_parameters(effort, wanted))
        rows = np.where(places == NONE, NONE, standing[places])
        k = min(k, count)
        ids = np.full((len(queries), k), NONE, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        step = max(1, GATHER_BYTES // (4 * snapshot.dim * count))
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            ids[part], scores[part] = _decide(snapshot, queries[part], rows[part], k, self.metric)
        return ids, scores

    def save(self, folder: Path) -> tuple[str, str]:
        """Write the cache into ``folder``; return the file's name and SHA-256."""
        faiss = untyped_faiss()
        with whole_file(folder / "ann.part") as part:
            with part.open("wb") as file:
                np.save(file, self.ids)
                file.write(faiss.serialize_index(self.index).data)
            digest = _sha256(part)
        name = f"ann-{digest[:12]}.faiss"
        (folder / "ann.part").replace(folder / name)
        return name, digest


def is_whole(folder: Path, facts: dict[str, Any]) -> bool:
    """Return whether the file that ``facts`` describe is there and unchanged."""
    try:
        return _sha256(_path(folder, facts)) == facts["sha256"]
    except OSError:
        return False


def load(folder: Path, facts: dict[str, Any], metric: str) -> Cells | None:
    """Return the cache that ``facts`` describe, or ``None`` where its file is missing or another one."""
    faiss = untyped_faiss()
    if not is_whole(folder, facts):
        return None
    try:
        with _path(folder, facts).open("rb") as file:
            ids = np.load(file, allow_pickle=False)
            data = np.frombuffer(file.read(), dtype=np.uint8)
        faiss.set_deserialization_loop_limit(LOOP_LIMIT)
        faiss.set_deserialization_vector_byte_limit(2 * len(data))
        return Cells(faiss.deserialize_index(data), ids, str(facts["factory"]), metric)
    except (OSError, ValueError, RuntimeError):
        return None


def _parameters(effort: Effort, wanted: np.ndarray) -> Any:
    """What FAISS is to look at: ``wanted`` (bool ``[n]``) among the cells' rows."""
    faiss = untyped_faiss()
    if wanted.all():
        return faiss.SearchParametersIVF(nprobe=effort.nprobe)
    mask = np.packbits(wanted, bitorder="little")
    return faiss.SearchParametersIVF(nprobe=effort.nprobe, sel=faiss.IDSelectorBitmap(mask))


_ROWS: WeakKeyDictionary[Snapshot, tuple[Cells, np.ndarray]] = WeakKeyDictionary()


def _rows_in(cells: Cells, snapshot: Snapshot) -> np.ndarray:
    """The row in ``snapshot`` of each of the cells' rows, ``-1`` where it was removed; remembered."""
    known = _ROWS.get(snapshot)
    if known is not None and known[0] is cells:
        return known[1]
    rows = np.searchsorted(snapshot.ids, cells.ids)
    held = rows < len(snapshot)
    held[held] = snapshot.ids[rows[held]] == cells.ids[held]
    rows[~held] = NONE
    _ROWS[snapshot] = (cells, rows)
    return rows


def _decide(snapshot: Snapshot, queries: np.ndarray, rows: np.ndarray, k: int, metric: str) -> Found:
    """Score candidate ``rows`` int64 ``[q, m]`` with their true vectors and return the ``k`` best."""
    found = rows != NONE
    vectors = snapshot.take(np.where(found, rows, 0).ravel()).reshape(*rows.shape, snapshot.dim)
    scores = np.where(found, scores_of(queries, vectors, metric), np.float32(-np.inf))
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(rows, order, axis=1)
    return np.where(best == NONE, NONE, snapshot.ids[best]), np.take_along_axis(scores, order, axis=1)


def untyped_faiss() -> Any:
    """FAISS, whose stubs lack much of what it has."""
    from perisphere.sphere.engine import faiss

    return faiss


def _path(folder: Path, facts: dict[str, Any]) -> Path:
    return folder / Path(str(facts["file"])).name  # never outside the folder, whatever the facts say


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
