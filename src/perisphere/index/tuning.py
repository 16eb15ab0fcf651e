"""From a recall to a search: the kind of cells by size, and the least effort that reaches the recall."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from perisphere.errors import PerisphereError
from perisphere.index import exact
from perisphere.index.ann import Cells, Effort, untyped_faiss
from perisphere.index.snapshot import Snapshot
from perisphere.index.waiting import patient_bar

MIN_ROWS = 50_000
"""Below this an exact search takes a few milliseconds, and cells would save nothing that is felt."""
STALE_SHARE = 0.5
"""Cells are built anew when the rows that came or went since are this share of what they hold."""
QUERIES = 512
TRAIN_PER_CELL = 64
FEWEST = 1000
SLOWEST = 1.0
"""Cells are of no use where a search takes more than this many times as long as an exact one."""
DEPTHS = (10, 50)
"""Numbers of results that the recall is promised for; for more, searches are exact."""


def build(snapshot: Snapshot, metric: str, recall: float, *, seed: int = 0) -> tuple[Cells, dict[str, Any]]:
    """Build cells over ``snapshot`` and choose the effort that reaches ``recall``.

    The queries are rows of the index that took no part in the training; each looks for the other rows, and
    the recall is the share of its true nearest that were found, one standard error taken off. That is done
    for the 10 and for the 50 nearest, since the more are wanted, the farther one must look.

    Args:
        snapshot: the rows, of length 1 for cosine.
        metric: ``"cosine"`` or ``"l2"``.
        recall: the share of the true nearest rows to be found.
        seed: for the sample of rows.

    Returns:
        The cells, and the facts to keep with them. In ``"efforts"``, a number of results has ``None`` where
        no effort is both good enough and faster than an exact search.

    Raises:
        PerisphereError: there are too few rows to learn cells from.
    """
    if len(snapshot) < FEWEST:
        raise PerisphereError(
            f"{len(snapshot)} images are too few to build cells from ({FEWEST}): they are searched exactly."
        )
    start = time.perf_counter()
    random = np.random.default_rng(seed)
    order = random.permutation(len(snapshot))
    held_out = np.sort(order[: min(QUERIES, len(snapshot) // 10)])
    with patient_bar("building cells", 1 + len(DEPTHS), "steps", at_once=True) as advance:
        cells = _train(snapshot, metric, order[len(held_out) :], seed)
        built = time.perf_counter() - start
        efforts = {}
        for depth in DEPTHS:
            advance()
            efforts[str(depth)] = _tune(cells, snapshot, metric, recall, held_out, depth)
        advance()
    facts = {
        "rows": len(snapshot),
        "last_id": int(snapshot.ids[-1]),
        "factory": cells.factory,
        "asked": recall,
        "queries": len(held_out),
        "seed": seed,
        "build_seconds": round(built, 2),
        "efforts": efforts,
    }
    return cells, facts


def is_due(facts: dict[str, Any], rows: int, fresh: int) -> bool:
    """Return whether cells have become stale.

    Args:
        facts: what :func:`build` returned.
        rows: rows that the index holds.
        fresh: how many of them are newer than the cells.
    """
    return fresh > STALE_SHARE * facts["rows"] or rows < (1 - STALE_SHARE) * facts["rows"]


def effort_for(facts: dict[str, Any], k: int) -> Effort | None:
    """Return the effort tuned for ``k`` results or some more; ``None`` where exact search is the way."""
    for depth, effort in sorted(facts["efforts"].items(), key=lambda item: int(item[0])):
        if k <= int(depth):
            return None if effort is None else Effort(effort["nprobe"], effort["k_factor"])
    return None


def factory(rows: int, dim: int) -> str:
    """Return the FAISS factory text of cells for ``rows`` vectors of ``dim`` values."""
    cells = 2 ** round(np.log2(4 * np.sqrt(rows)))
    # Fast scan needs groups of dimensions, and 4 a group is fine enough since true vectors decide in the end.
    return f"IVF{cells},PQ{dim // 4}x4fs" if dim % 4 == 0 and dim >= 16 else f"IVF{cells},SQ8"


def _train(snapshot: Snapshot, metric: str, order: np.ndarray, seed: int) -> Cells:
    faiss = untyped_faiss()
    kind = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2
    text = factory(len(snapshot), snapshot.dim)
    index = faiss.index_factory(snapshot.dim, text, kind)
    index.cp.seed, index.cp.niter = seed + 1, 10
    index.train(snapshot.take(np.sort(order[: TRAIN_PER_CELL * index.nlist])))
    for segment in snapshot.segments:
        index.add(segment.vectors)
    return Cells(index, snapshot.ids, text, metric)


def _tune(
    cells: Cells, snapshot: Snapshot, metric: str, recall: float, held_out: np.ndarray, depth: int
) -> dict[str, Any] | None:
    """Return the least effort that finds ``recall`` of the ``depth`` nearest, and what it was measured at."""
    queries, own = snapshot.take(held_out), snapshot.ids[held_out]
    start = time.perf_counter()
    rows = exact.everything(snapshot)
    truth = exact.search(rows, queries, depth + 1, metric, normalised=metric == "cosine")[0]
    exact_seconds = time.perf_counter() - start
    for effort in _efforts(cells):
        shares, seconds = _measure(cells, snapshot, queries, own, truth, depth, effort)
        if seconds >= SLOWEST * exact_seconds:
            return None
        if shares.mean() - shares.std() / np.sqrt(len(shares)) >= recall:
            return {
                "nprobe": effort.nprobe,
                "k_factor": effort.k_factor,
                "recall": round(float(shares.mean()), 4),
                "ms": _milliseconds(seconds, queries),
                "exact_ms": _milliseconds(exact_seconds, queries),
            }
    return None


def _measure(
    cells: Cells,
    snapshot: Snapshot,
    queries: np.ndarray,
    own: np.ndarray,
    truth: np.ndarray,
    depth: int,
    effort: Effort,
) -> tuple[np.ndarray, float]:
    """Return each query's share of its ``depth`` true nearest that were found, and the seconds it took."""
    start = time.perf_counter()
    found = cells.search(snapshot, queries, depth + 1, effort)[0]
    seconds = time.perf_counter() - start
    shares = np.empty(len(own))
    for row, (near, true, itself) in enumerate(zip(found, truth, own, strict=True)):
        shares[row] = np.isin(true[true != itself][:depth], near).mean()
    return shares, seconds


def _efforts(cells: Cells) -> Iterator[Effort]:
    """Efforts from the least to the most: a candidate costs about as much as scanning 32 codes."""
    per_cell = len(cells.ids) / cells.index.nlist
    nprobe = 1
    while nprobe < cells.index.nlist:
        nprobe *= 2
        for k_factor in (4, 16) if 32 * DEPTHS[0] * 4 < nprobe * per_cell else (4,):
            yield Effort(nprobe, k_factor)
    yield Effort(nprobe, 64)


def _milliseconds(seconds: float, queries: np.ndarray) -> float:
    return round(1e3 * seconds / len(queries), 4)
