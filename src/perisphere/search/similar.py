"""The most similar photos or identities of a gallery of features, query by query, as files.

Source: the public program of Wieczorek, Rychalska and Dabrowski, "On the unreasonable effectiveness of
centroids in image retrieval", ICONIP 2021, whose distances these are: squared Euclidean, or ``|1 - cosine|``.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from perisphere.encoder.features import Features
from perisphere.errors import PerisphereError, UsageError
from perisphere.progress import bar
from perisphere.search.similar_files import RESULTS, Format, join_results
from perisphere.sphere import normalise as unit_rows
from perisphere.sphere import top_k
from perisphere.storage import check_replaceable, whole_file, whole_folder

Distance = Literal["cosine", "euclidean"]

FORMAT = 1
DESCRIPTION, QUERY_EMBEDDINGS, QUERY_PATHS = "similar.json", "query_embeddings.npy", "query_paths.npy"
BLOCK, NUMBERS = 4096, 4_000_000
"""Queries of a block, and places of results that it may have: they, not all pairs, are in memory."""


@dataclass(frozen=True)
class Nearest:
    """Queries ``start`` to ``stop``.

    Attributes:
        indices: places in the gallery, nearest first, int64 ``[stop - start, k]``.
        distances: float32 ``[stop - start, k]``.
    """

    start: int
    stop: int
    indices: NDArray[np.int64]
    distances: NDArray[np.float32]


def write_similar(
    queries: Features,
    gallery: Features,
    out: Path | str,
    *,
    topk: int = 100,
    distance: Distance = "cosine",
    normalise: bool = False,
    format: Format = "parquet",
    overwrite: bool = False,
) -> Path:
    """Write the gallery's nearest for each query, block by block; a killed run goes on at its last block.

    Args:
        queries: features of photos.
        gallery: features of photos, or of identities.
        out: a new folder: ``results.parquet`` or ``results.json`` with ``indices``, ``paths`` (identities
            where the gallery holds centroids) and ``distances`` of each query, ``query_embeddings.npy``,
            ``query_paths.npy`` and ``similar.json``.
        topk: results of a query; 0 for the whole gallery.
        distance: ``cosine`` is ``|1 - cosine|``, ``euclidean`` the squared Euclidean distance.
        normalise: bring both sides to length one first; changes nothing about the order of ``cosine``.
        format: of the results.
        overwrite: replace an earlier ``out``.

    Raises:
        PerisphereError: ``out`` exists, the two sides are of different encoders, or the disk refuses.
        UsageError: a wrong option.
    """
    out = Path(out).absolute()
    check_options(topk, distance, format)
    check_replaceable(out, overwrite)
    _check_same_space(queries, gallery)
    asked = {"topk": topk, "distance": distance, "normalise": normalise}
    parts = _Parts(out, {**asked, "queries": _digest(queries), "gallery": _digest(gallery)})
    vectors = _float32(queries.vectors)
    vectors = unit_rows(vectors) if normalise else vectors
    names = pl.Series("paths", gallery.names, dtype=pl.String)
    for found in parts.rest(vectors, _prepared(gallery.vectors, distance, normalise), topk, distance):
        parts.write(_table(queries.names, names, found), found.start)
    with whole_folder(out, overwrite=overwrite) as part:
        join_results(part / f"{RESULTS}.{format}", parts.files(), format)
        np.save(part / QUERY_EMBEDDINGS, vectors)
        np.save(part / QUERY_PATHS, np.array(queries.names, np.str_), allow_pickle=False)
        about: dict[str, Any] = {"format": FORMAT, "queries": len(queries), "gallery": len(gallery), **asked}
        about |= {"centroids": gallery.by, "skipped": queries.about.get("skipped", [])}
        text = json.dumps(about, indent=2, ensure_ascii=False)
        (part / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
    parts.remove()
    return out


def nearest(
    queries: NDArray, gallery: NDArray, topk: int, distance: Distance, *, start: int = 0
) -> Iterator[Nearest]:
    """Yield the nearest of the gallery for blocks of queries from ``start`` on.

    Args:
        queries: ``[q, d]``.
        gallery: ``[n, d]``; for ``cosine`` best of length one already.
        topk: results of a query; 0 for all.
        distance: see :func:`write_similar`.
        start: the first query.
    """
    k = min(topk or len(gallery), len(gallery))
    block = max(1, min(BLOCK, NUMBERS // k))
    for begin in range(start, len(queries), block):
        rows = np.asarray(queries[begin : begin + block])
        indices, scores = top_k(rows, gallery, k, metric="cosine" if distance == "cosine" else "l2")
        distances = np.abs(1 - scores) if distance == "cosine" else np.square(scores)
        yield Nearest(begin, begin + len(rows), indices, distances.astype(np.float32, copy=False))


def check_options(topk: int, distance: str, format: str) -> None:
    """Refuse wrong options (UsageError)."""
    if topk < 0:
        raise UsageError(f"topk is {topk}; give 0 for the whole gallery, or a number from 1.")
    if distance not in get_args(Distance):
        raise UsageError(f"distance {distance!r} is unknown; use {' or '.join(get_args(Distance))}.")
    if format not in get_args(Format):
        raise UsageError(f"format {format!r} is unknown; use {' or '.join(get_args(Format))}.")


class _Parts:
    """Blocks of results beside the folder that they will become; blocks of another question are dropped."""

    def __init__(self, out: Path, question: dict[str, Any]) -> None:
        self.folder = out.parent / f".{out.name}.ranking"
        asked = self.folder / "question.json"
        text = json.dumps(question, sort_keys=True)
        if asked.is_file() and asked.read_text(encoding="utf-8") == text:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        with whole_file(asked) as part:
            part.write_text(text, encoding="utf-8")

    def files(self) -> list[Path]:
        """Return the blocks in the order of the queries."""
        return sorted(self.folder.glob("*.parquet"))

    def rest(self, queries: NDArray, gallery: NDArray, topk: int, distance: Distance) -> Iterator[Nearest]:
        """Yield the blocks that are not there yet."""
        counted = [pl.scan_parquet(file).select(pl.len()).collect().item() for file in self.files()]
        with bar("ranking", len(queries), "queries") as advance:
            advance(sum(counted))
            for found in nearest(queries, gallery, topk, distance, start=sum(counted)):
                yield found
                advance(found.stop - found.start)

    def write(self, table: pl.DataFrame, start: int) -> None:
        """Keep a block, whole or not at all."""
        with whole_file(self.folder / f"{start:012}.parquet") as part:
            table.write_parquet(part)

    def remove(self) -> None:
        """Delete the blocks, once they are safe elsewhere."""
        shutil.rmtree(self.folder)


def _table(queries: list[str], names: pl.Series, found: Nearest) -> pl.DataFrame:
    """Return a row a query: its path, and lists of indices, paths and distances."""
    shape = found.indices.shape
    flat = pl.Series(found.indices.ravel())
    columns = {"indices": flat, "paths": names.gather(flat), "distances": pl.Series(found.distances.ravel())}
    lists = [column.reshape(shape).arr.to_list().alias(name) for name, column in columns.items()]
    return pl.DataFrame([pl.Series("query", queries[found.start : found.stop], pl.String), *lists])


def _prepared(gallery: NDArray, distance: Distance, normalise: bool) -> NDArray:
    """Return the gallery, of length one where the distance looks at directions alone."""
    vectors = _float32(gallery)
    return unit_rows(vectors) if normalise or distance == "cosine" else vectors


def _float32(vectors: NDArray) -> NDArray[np.float32]:
    return np.ascontiguousarray(vectors, np.float32)


def _check_same_space(queries: Features, gallery: Features) -> None:
    """Refuse to compare features of two encoders; arrays that do not say are compared if they are as long."""
    for side, vectors in (("queries", queries.vectors), ("gallery", gallery.vectors)):
        if not len(vectors):
            raise PerisphereError(f"the {side} have no features. Embed some photos.")
    made = [side.about.get("encoder") or {} for side in (queries, gallery)]
    names = [part.get("identity") for part in made]
    if None not in names and names[0] != names[1]:
        raise PerisphereError(
            f"the queries are of the encoder {made[0].get('name')} ({names[0]}), the gallery of "
            f"{made[1].get('name')} ({names[1]}). Embed both with the same one."
        )
    if queries.vectors.shape[1] != gallery.vectors.shape[1]:
        raise PerisphereError(
            f"queries of {queries.vectors.shape[1]} numbers cannot be compared with a gallery of "
            f"{gallery.vectors.shape[1]}. Embed both with the same encoder."
        )


def _digest(features: Features) -> str:
    """Return what tells these features from others: names and numbers."""
    digest = hashlib.sha256("\0".join(features.names).encode())
    for start in range(0, len(features), 4096):
        digest.update(np.ascontiguousarray(features.vectors[start : start + 4096]).data)
    return digest.hexdigest()
