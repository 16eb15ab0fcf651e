"""Files of the most similar photos: Parquet or JSON, and the pickled dict of the published program."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from perisphere.errors import PerisphereError, UsageError
from perisphere.foreign.numpy_file import read_npy, texts
from perisphere.storage import whole_file

Format = Literal["parquet", "json"]
RESULTS = "results"
_DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    RecursionError,
    pl.exceptions.PolarsError,
)
COLUMNS = {
    "query": pl.String(),
    "indices": pl.List(pl.Int64),
    "paths": pl.List(pl.String),
    "distances": pl.List(pl.Float32),
}


def join_results(path: Path, parts: Sequence[Path], format: Format) -> None:
    """Join Parquet files with a row a query into one file, a part at a time in memory.

    Args:
        path: ``parquet`` gets the columns ``query``, ``indices``, ``paths`` and ``distances`` (lists, nearest
            first), ``json`` an object from query to those lists.
        parts: in the order of the queries.
        format: of ``path``.
    """
    if format == "parquet":
        pl.scan_parquet(list(parts)).sink_parquet(path)
    else:
        _write_json(path, (row for part in parts for row in pl.read_parquet(part).iter_rows(named=True)))


def read_results(path: Path) -> pl.DataFrame:
    """Return the results in a ``results.parquet`` or ``.json``, or in a published ``results.npy``.

    The latter is a pickle; it is read by an interpreter of plain values, which runs nothing.

    Returns:
        ``query``, ``indices``, ``paths`` and ``distances``, a row a query.

    Raises:
        PerisphereError: the file is missing, damaged or holds something else.
        UsageError: another kind of file.
    """
    path = Path(path)
    readers: dict[str, Callable[[Path], pl.DataFrame]] = {
        ".parquet": pl.read_parquet,
        ".json": _from_json,
        ".npy": _from_npy,
    }
    if path.suffix not in readers:
        raise UsageError(f"{path}: results are .parquet, .json or .npy. Name such a file.")
    try:
        found = readers[path.suffix](path)
        return found.select(pl.col(name).cast(kind) for name, kind in COLUMNS.items())
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:200]
        raise PerisphereError(f"{path}: is damaged or holds no results ({reason}). Get it again.") from error


def convert_results(source: Path, target: Path) -> int:
    """Write results, those of the published program too, as ``.parquet`` or ``.json``; return the queries.

    Raises:
        PerisphereError: see :func:`read_results`; or ``target`` exists.
        UsageError: ``target`` is neither.
    """
    if target.suffix not in (".parquet", ".json"):
        raise UsageError(f"{target}: results are written as .parquet or .json. Name it so.")
    if target.exists():
        raise PerisphereError(f"{target}: exists already. Name another file.")
    found = read_results(source)
    with whole_file(target) as part:
        if target.suffix == ".json":
            _write_json(part, found.iter_rows(named=True))
        else:
            found.write_parquet(part)
    return len(found)


def _write_json(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("{")
        for number, row in enumerate(rows):
            query = json.dumps(row.pop("query"), ensure_ascii=False)
            row["distances"] = [float(f"{value:.9g}") for value in row["distances"]]  # float32, as it is
            file.write(f"{',' if number else ''}\n{query}: {json.dumps(row, ensure_ascii=False)}")
        file.write("\n}\n")


def _from_json(path: Path) -> pl.DataFrame:
    held = json.loads(path.read_text(encoding="utf-8"))
    return _table(dict(held.items()))


def _from_npy(path: Path) -> pl.DataFrame:
    held = read_npy(path)
    if held.shape != () or not isinstance(held.item(), dict):
        raise ValueError("it is no dict of results")
    rows = {}
    for query, row in held.item().items():
        indices, distances = (np.asarray(row[name]) for name in ("indices", "distances"))
        if indices.dtype.kind not in "iu" or distances.dtype.kind != "f":
            raise ValueError(f"{str(query)[:60]!r} has no whole indices or no distances")
        paths = texts(np.asarray(row["paths"]), path)
        rows[query] = {"indices": indices.tolist(), "paths": paths, "distances": distances.tolist()}
    return _table(rows)


def _table(rows: dict[str, dict[str, Any]]) -> pl.DataFrame:
    lists = {name: [row[name] for row in rows.values()] for name in ("indices", "paths", "distances")}
    for query, parts in zip(rows, zip(*lists.values(), strict=True), strict=True):
        if len({len(part) for part in parts}) != 1:
            raise ValueError(f"{str(query)[:60]!r} has lists of different lengths")
    return pl.DataFrame({"query": list(rows), **lists}, schema=COLUMNS)
