"""Milvus as a store: one collection an index, through pymilvus; the same for Milvus Lite, which is a file."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import polars as pl

from perisphere.errors import PerisphereError, UsageError
from perisphere.index.filters import Expression
from perisphere.index.ranking import NONE
from perisphere.index.rows import LISTS, SCHEMA
from perisphere.index.stores.address import Address
from perisphere.index.stores.milvus_filters import compile_filter
from perisphere.index.stores.protocol import VECTOR, Found

TOKEN, RECEIVER = "MILVUS_TOKEN", "MILVUS_TOKEN_FOR"
"""Variables of the environment: the token, and the address of the one server that it is sent to."""

METRICS = {"cosine": "IP", "l2": "L2"}
"""Rows of length 1 have their cosine for an inner product; so Milvus need not divide again."""

DIMENSIONS = range(2, 32_769)
MAX_TEXT, MAX_LIST = 65_535, 4_096
WINDOW = 16_384
"""What Milvus answers at most, and so much a page of rows."""

BATCH_BYTES = 8 << 20
PAGE_BYTES = 16 << 20
SPARE = 8
"""Results beyond ``k``, so that of equal scores at the end the lowest ids are there."""

_PATIENT = {"grpc.keepalive_time_ms": 2**31 - 1, "grpc.keepalive_permit_without_calls": False}
"""For Milvus Lite, which drops a client that asks every ten seconds whether it is there, as pymilvus does."""

CONNECT_SECONDS, CALL_SECONDS = 10.0, 120.0
INDEXED = ("label", "split", "camera")
_COLUMNS = {**SCHEMA, "root": pl.String()}


class MilvusStore:
    """A collection of Milvus that holds vectors and rows; every call sees what was finished before it."""

    window = WINDOW - SPARE
    road = "milvus, FLAT"

    def __init__(self, address: Address, collection: str, dim: int, metric: str) -> None:
        """Use :meth:`create` and :meth:`open`."""
        self._address, self._collection, self._dim, self._metric = address, collection, dim, metric
        self._client = _client(address)

    @classmethod
    def create(cls, address: Address, name: str, dim: int, metric: str) -> MilvusStore:
        """Make an empty collection; see :func:`perisphere.index.stores.address.create`."""
        if metric not in METRICS:
            known = " or ".join(METRICS)
            raise UsageError(f"the metric {metric}: Milvus knows no such distance. Use {known}.")
        if dim not in DIMENSIONS:
            raise UsageError(f"The dimension {dim} is out of range for Milvus, which takes 2 to 32,768.")
        store = cls(address, name, dim, metric)
        try:
            with store._errors():
                store._make()
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def open(cls, address: Address, name: str, dim: int, metric: str) -> MilvusStore:
        """Open a collection; see :func:`perisphere.index.stores.address.connect`."""
        if address.is_file and not Path(address.uri).exists():
            raise PerisphereError(
                f"{address}: is missing, and the vectors of the index with it. Put it back where it was."
            )
        store = cls(address, name, dim, metric)
        try:
            store._check()
        except BaseException:
            store.close()
            raise
        return store

    def check(self, rows: pl.DataFrame) -> None:
        """Refuse texts and lists that are longer than Milvus takes, by name.

        Raises:
            PerisphereError: there is one.
        """
        for name in rows.columns:
            cells = rows[name]
            if cells.dtype == pl.List(pl.String):
                long = (cells.list.len() > MAX_LIST) | (
                    cells.list.eval(pl.element().str.len_bytes()).list.max() > MAX_TEXT
                )
                limit = f"{MAX_LIST:,} elements of {MAX_TEXT:,} bytes"
            elif cells.dtype == pl.String:
                long, limit = cells.str.len_bytes() > MAX_TEXT, f"{MAX_TEXT:,} bytes"
            else:
                continue
            if long.any():
                row = long.fill_null(False).arg_max()
                raise PerisphereError(
                    f"The {name} of row {row} is too long for Milvus: it takes {limit}. Shorten it."
                )

    def add(self, ids: np.ndarray, vectors: np.ndarray, rows: pl.DataFrame) -> None:
        """Insert rows in batches of bounded size."""
        size = 4 * self._dim + rows.estimated_size() / max(1, rows.height)
        step = max(1, min(WINDOW, int(BATCH_BYTES / size)))
        for start in range(0, len(ids), step):
            part = slice(start, start + step)
            entities = [
                {"id": id_, VECTOR: vector, **row}
                for id_, vector, row in zip(
                    ids[part].tolist(), vectors[part], rows[part].iter_rows(named=True), strict=True
                )
            ]
            with self._errors():
                self._client.insert(self._collection, entities, timeout=CALL_SECONDS)

    def remove(self, ids: np.ndarray) -> None:
        """Delete rows by id."""
        for start in range(0, len(ids), WINDOW):
            with self._errors():
                some = ids[start : start + WINDOW].tolist()
                self._client.delete(self._collection, ids=some, timeout=CALL_SECONDS)

    def rows(
        self, columns: Sequence[str], *, ids: np.ndarray | None = None, where: Expression | None = None
    ) -> Iterator[pl.DataFrame]:
        """Yield ``id`` and ``columns`` page by page, by ascending id."""
        fields = ["id", *columns]
        page = max(1, min(WINDOW, PAGE_BYTES // (4 * self._dim))) if VECTOR in columns else WINDOW
        if ids is None:
            yield from (self._frame(found, fields) for found in self._pages(fields, page, where))
            return
        ascending = np.unique(ids)
        for start in range(0, len(ascending), page):
            with self._errors():
                some = ascending[start : start + page].tolist()
                found = self._client.query(
                    self._collection, ids=some, output_fields=fields, timeout=CALL_SECONDS
                )
            yield self._frame(found, fields)

    def search(self, queries: np.ndarray, k: int, where: Expression | None = None) -> Found:
        """Search the collection; of equal scores the lower id comes first."""
        asked = k + SPARE
        ids = np.full((len(queries), asked), NONE, dtype=np.int64)
        scores = np.full((len(queries), asked), -np.inf, dtype=np.float32)
        step = max(1, min(PAGE_BYTES // (4 * self._dim), 20 * WINDOW // asked))
        for start in range(0, len(queries), step):
            part = queries[start : start + step]
            for place, hits in enumerate(self._hits(part, asked, where), start=start):
                ids[place, : len(hits)] = [hit["id"] for hit in hits]
                scores[place, : len(hits)] = [hit["distance"] for hit in hits]
        if self._metric == "l2":  # Milvus has the squared distance
            found = ids != NONE
            scores[found] = -np.sqrt(np.maximum(scores[found], 0))
        order = np.lexsort((ids, -scores))[:, :k]
        return np.take_along_axis(ids, order, axis=1), np.take_along_axis(scores, order, axis=1)

    def count(self, where: Expression | None = None) -> int:
        """Count rows."""
        with self._errors():
            found = self._client.query(
                self._collection, **self._filter(where), output_fields=["count(*)"], timeout=CALL_SECONDS
            )
        return int(found[0]["count(*)"])

    def compact(self) -> None:
        """Ask Milvus to write small and thinned segments anew, which it does in the background."""
        with self._errors():
            self._client.flush(self._collection, timeout=CALL_SECONDS)
            self._client.compact(self._collection, timeout=CALL_SECONDS)

    def drop(self) -> None:
        """Remove the collection."""
        with self._errors():
            self._client.drop_collection(self._collection, timeout=CALL_SECONDS)

    def close(self) -> None:
        """Close the connection; the last one of a file of Milvus Lite frees it for other programs."""
        self._client.close()
        if self._address.is_file:
            _files.leave(self._address.uri)

    def _make(self) -> None:
        from pymilvus import DataType

        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=self._dim)
        for name, kind in _COLUMNS.items():
            inner = kind.inner if isinstance(kind, pl.List) else kind
            own = DataType.INT64 if inner == pl.Int64() else DataType.VARCHAR
            limits: dict[str, Any] = {"nullable": True}
            if own == DataType.VARCHAR:
                limits["max_length"] = MAX_TEXT
            if name in LISTS:
                limits |= {"element_type": own, "max_capacity": MAX_LIST}
            schema.add_field(name, DataType.ARRAY if name in LISTS else own, **limits)
        wanted = self._client.prepare_index_params()
        wanted.add_index(VECTOR, index_type="FLAT", metric_type=METRICS[self._metric])
        for name in () if self._address.is_file else INDEXED:
            wanted.add_index(name, index_type="INVERTED")
        self._client.create_collection(
            self._collection, schema=schema, consistency_level="Strong", timeout=CALL_SECONDS
        )
        self._client.create_index(self._collection, wanted, sync=False, timeout=CALL_SECONDS)
        self._client.load_collection(self._collection, timeout=CALL_SECONDS)

    def _check(self) -> None:
        """Refuse a collection that is gone, or is not the one that the index made."""
        with self._errors():
            if not self._client.has_collection(self._collection, timeout=CALL_SECONDS):
                raise PerisphereError(
                    f"{self._address}: holds no collection {self._collection}, where the vectors of the "
                    "index were. Restore it there, or make the index anew (`perisphere index create`)."
                )
            fields = self._client.describe_collection(self._collection, timeout=CALL_SECONDS)["fields"]
            self._client.load_collection(self._collection, timeout=CALL_SECONDS)
        dims = {field["name"]: int(field["params"].get("dim", 0)) for field in fields}
        if set(dims) != {"id", VECTOR, *_COLUMNS}:
            raise PerisphereError(
                f"{self._address}: the collection {self._collection} is not one of Perisphere."
            )
        if dims[VECTOR] != self._dim:
            raise PerisphereError(
                f"{self._address}: the collection {self._collection} holds vectors of {dims[VECTOR]} values, "
                f"and the index is of dimension {self._dim}. Put the right one back."
            )

    def _hits(self, queries: np.ndarray, k: int, where: Expression | None) -> Any:
        with self._errors():
            return self._client.search(
                self._collection,
                data=queries,
                anns_field=VECTOR,
                limit=k,
                output_fields=["id"],
                search_params={"metric_type": METRICS[self._metric], "params": {}},
                timeout=CALL_SECONDS,
                **self._filter(where),
            )

    def _pages(
        self, fields: list[str], page: int, where: Expression | None
    ) -> Iterator[list[dict[str, Any]]]:
        chosen = self._filter(where)
        with self._errors():
            pages = self._client.query_iterator(
                self._collection,
                batch_size=page,
                filter=chosen["filter"] or "id > 0",
                expr_params=chosen.get("filter_params", {}),
                output_fields=fields,
                timeout=CALL_SECONDS,
            )
        try:
            while True:
                with self._errors():
                    found = pages.next()
                if not found:
                    return
                yield found
        finally:
            pages.close()

    def _filter(self, where: Expression | None) -> dict[str, Any]:
        if where is None:
            return {"filter": ""}
        compiled = compile_filter(where, self._texts)
        if self._address.is_file:
            return {"filter": compiled.literal()}
        return {"filter": compiled.text, "filter_params": compiled.values}

    def _texts(self, column: str) -> Iterator[str]:
        for frame in self.rows([column]):
            yield from frame[column].drop_nulls().unique()

    def _frame(self, found: list[dict[str, Any]], fields: list[str]) -> pl.DataFrame:
        columns = []
        for name in fields:
            cells = [entity[name] for entity in found]
            if name == VECTOR:
                matrix = np.array(cells, dtype=np.float32).reshape(-1, self._dim)
                columns.append(pl.Series(name, matrix, dtype=pl.Array(pl.Float32, self._dim)))
            else:
                columns.append(pl.Series(name, cells, dtype=_COLUMNS.get(name, pl.Int64())))
        return pl.DataFrame(columns).sort("id")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from grpc import RpcError  # type: ignore[import-untyped]
        from pymilvus.exceptions import MilvusException

        try:
            yield
        except (MilvusException, RpcError) as error:
            raise PerisphereError(f"{self._address}: {_cause(error)}") from error


class _Files:
    """Files of Milvus Lite that this process has open: the last to leave frees them."""

    def __init__(self) -> None:
        self._lock, self._open = Lock(), Counter[str]()

    @contextmanager
    def entering(self, path: str) -> Iterator[None]:
        """Count one more user of a file before the block opens it, and none where it fails."""
        with self._lock:
            self._open[path] += 1
        try:
            yield
        except BaseException:
            self.leave(path)
            raise

    def leave(self, path: str) -> None:
        from milvus_lite.server_manager import (  # type: ignore[import-untyped]
            server_manager_instance,
        )

        with self._lock:
            self._open[path] -= 1
            if not self._open[path]:
                del self._open[path]
                server_manager_instance.release_server(path)


_files = _Files()


def _client(address: Address) -> Any:
    """Connect, with the token of the environment where it is for this server.

    Raises:
        PerisphereError: the extra is missing, nobody answers, the token is refused, or the file is in use.
    """
    try:
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException

        if address.is_file:
            import milvus_lite  # type: ignore[import-untyped]  # noqa: F401
    except ImportError as error:
        raise PerisphereError(
            f"{address}: needs an extra, `pip install 'perisphere[milvus]'` ({error.name} is missing)."
        ) from error
    for name in ("pymilvus", "milvus_lite"):  # they print what they raise as well
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    options = {"db_name": address.database, "timeout": CONNECT_SECONDS, "dedicated": True}
    try:
        if not address.is_file:
            return MilvusClient(uri=address.uri, token=_token(address), **options)
        Path(address.uri).parent.mkdir(parents=True, exist_ok=True)
        with _files.entering(address.uri):
            return MilvusClient(uri=address.uri, grpc_options=_PATIENT, **options)
    except MilvusException as error:
        raise PerisphereError(f"{address}: {_cause(error)}") from error


def _token(address: Address) -> str:
    """Return the token where it is for this server: an index from a stranger may name one of theirs.

    Raises:
        UsageError: the variable that says what server it is for holds no address.
    """
    token, receiver = os.environ.get(TOKEN, ""), os.environ.get(RECEIVER, "")
    return token if token and receiver and Address.parse(receiver).uri == address.uri else ""


def _cause(error: Exception) -> str:
    words = " ".join(str(getattr(error, "message", "") or error).split())
    if "Open local milvus failed" in words:
        return "cannot be opened: another program has it open, as Milvus Lite allows one, or it is damaged."
    if "Fail connecting" in words or "UNAVAILABLE" in words or "unavailable" in words:
        return "no Milvus answers there. Start it, or mend the address."
    if re.search(r"\bauth|unauth|api key|permission|privilege", words, re.IGNORECASE):
        return (
            f"refuses ({words[:200]}). Put user:password or an API key into the environment as {TOKEN}, and "
            f"this address as {RECEIVER}."
        )
    if "database not found" in words:
        return f"holds no such database ({words[:200]}). Create it there first."
    return words[:400]
