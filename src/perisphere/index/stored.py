"""An index whose vectors and rows lie in another engine.

The folder keeps what an engine has no place or no equal for: facts, the encoder, the calibration, the sums
behind centroids, and the words of photos. Its SQLite file is also what makes a change whole: ids are given
there, and what is begun in the engine is noted there before, so that after a kill it is finished or taken
back.
"""

from __future__ import annotations

import platform
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from perisphere.errors import PerisphereError, UsageError
from perisphere.index import centroid_upkeep, exact, stores, words
from perisphere.index.centroids import Centroids, gathered
from perisphere.index.counts import Counts, Paths, check_counted
from perisphere.index.duplicates import THRESHOLD, near_duplicates
from perisphere.index.filters import And, Comparison, Expression, In, columns, evaluate, parse
from perisphere.index.ids import free_ids, given_ids, whole_numbers
from perisphere.index.index import Index, log, refuse_missing
from perisphere.index.kept_files import Content, Filed, KeptFiles
from perisphere.index.kept_regions import KeptRegions, Segmented
from perisphere.index.ranking import Ranking
from perisphere.index.rows import LISTS, SCHEMA, checked
from perisphere.index.store import (
    FILE,
    STORES_FORMAT,
    SqliteFile,
    block_rows,
    read_fact,
    write_fact,
)
from perisphere.index.stores.protocol import VECTOR
from perisphere.index.sums import Sums, kept
from perisphere.index.vectors import clean, matrix
from perisphere.index.waiting import patient_bar

if TYPE_CHECKING:
    import sqlite3

ADDING = "adding"
"""In the fact ``pending``: rows above the last id are not there yet. A list of ids: they are gone already."""

_FIELDS: dict[str, pl.DataType] = {"id": pl.Int64(), **SCHEMA, "root": pl.String()}
_NEAR = 64


class StoredIndex(Index):
    """An :class:`Index` over a :class:`~perisphere.index.stores.Store`; one folder writes, any number read.

    A change lasts when its call returns, and a kill leaves it whole or undone. A search that runs beside a
    removal may still find some of what goes.
    """

    def __init__(self, store: SqliteFile) -> None:
        """Use :meth:`Index.create` and :meth:`Index.open`."""
        super().__init__(store)
        self.regions, self.files = _NoRegions(store), _NoFiles(store, self.dim)
        try:
            self._about: dict[str, Any] = store.fact("store")
            self._engine = stores.connect(self._about, store.folder.absolute().parent, self.dim, self.metric)
            self._settle_if_alone()
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Close the folder and the connection."""
        self._engine.close()
        super().close()

    def __len__(self) -> int:
        """Return the number of images, as of now."""
        return int(self._store.fact("images"))

    def add(
        self,
        vectors: np.ndarray,
        rows: pl.DataFrame | None = None,
        *,
        ids: Sequence[int] | np.ndarray | None = None,
        root: Path | str | None = None,
        encoder_identity: str | None = None,
        contents: Sequence[Content] | None = None,
    ) -> np.ndarray:
        """Add vectors and their rows; see :meth:`Index.add`. Nobody sees them before all are in."""
        if contents is not None:
            raise _no_files(self.folder)
        vectors = matrix(vectors, self.dim)
        table = checked(pl.DataFrame() if rows is None else rows, len(vectors) if rows is not None else 0)
        if rows is None:
            table = table.clear(len(vectors))
        given = None if ids is None else given_ids(ids, len(vectors))
        if not len(vectors):
            return np.empty(0, dtype=np.int64)
        table = table.with_columns(root=pl.lit(None if root is None else str(root), dtype=pl.String))
        self._engine.check(table)
        with self._store.alone():
            self._settle()
            self._refuse_other_encoder(encoder_identity)
            taken = int(self._store.fact("last_id"))
            self._refuse_stale(taken)
            new = np.arange(taken + 1, taken + 1 + len(vectors)) if given is None else free_ids(given, taken)
            for _ in self._blocks(vectors):
                pass  # a bad row is found before anything is sent
            self._store.set_facts(pending=ADDING, adder=self._place())
            try:
                self._send(new, vectors, table)
                self._commit_added(new, vectors, table, encoder_identity)
            except BaseException:
                self._settle()
                raise
        return new

    def remove(self, ids: Sequence[int] | np.ndarray | int, *, vectors: np.ndarray | None = None) -> int:
        """Remove rows by id and return how many; see :meth:`Index.remove`. Their vectors are not needed."""
        unique = np.unique(whole_numbers(ids))
        with self._store.alone():
            self._settle()
            missing = np.setdiff1d(unique, self._there(unique))
            if len(missing):
                raise PerisphereError(f"The index holds no image with id {missing[0]}. Nothing was removed.")
            with self._store.writing() as connection:
                if kept(connection) is not None:
                    sums = Sums(connection, self.dim)
                    for frame in self._engine.rows(["label", VECTOR], ids=unique):
                        sums.put(frame["label"].to_list(), _matrix(frame), sign=-1)
                    sums.write()
                words.drop(connection, unique)
                _count(connection, images=-len(unique), removed=len(unique))
                write_fact(connection, "pending", unique.tolist() or None)
            self._settle()
        return len(unique)

    def search(
        self,
        queries: np.ndarray,
        k: int = 10,
        *,
        metric: str | None = None,
        where: Expression | str | None = None,
        min_score: float | None = None,
        exact: bool = False,
        shortlist: int | None = None,
        symmetric: bool = False,
    ) -> Ranking:
        """Return the ``k`` nearest images of each query; see :meth:`Index.search`.

        The engine searches by the metric of the index. For another metric, and for more results than it
        gives, the vectors are read block by block and searched here, which takes long where there are many.
        """
        metric, wanted = self._asked(queries, k, metric, min_score)
        if self._by_codes(metric, exact, shortlist, symmetric):
            self._codes.codebooks  # noqa: B018 - says that there are none
        k = min(k, len(self))
        chosen = self._visible(where)
        if not len(wanted) or not k:
            found, road = _nothing(len(wanted), k), self._engine.road
        elif metric == self.metric and k <= self._engine.window:
            found, road = self._engine.search(wanted, k, chosen), self._engine.road
        else:
            found, road = self._search_here(wanted, k, metric, chosen), "read + exact"
        ranking = Ranking(*found, road if where is None else f"{road} + filter", metric)
        return ranking if min_score is None else ranking.at_least(min_score)

    def keep_centroids(self) -> int:
        """Keep one point for each label from now on, beside the photos, and return how many there are."""
        with self._store.alone():
            self._settle()
            with self._store.writing() as connection:
                if kept(connection) is None:
                    with patient_bar("centroids", len(self)) as advance:
                        centroid_upkeep.keep(connection, self.dim, self._labelled(), advance)
        return len(self.centroids())

    def centroids(self, where: Expression | str | None = None) -> Centroids:
        """Return the centroids of all labelled photos, or of those that pass; see :meth:`Index.centroids`."""
        newest = self._centroids.now()
        if where is None:
            return newest
        chosen = self._visible(where)
        assert chosen is not None
        if columns(chosen) <= {"label"}:
            return newest.only([label for label in newest.labels if evaluate(chosen, {"label": label})])
        ids = dict(zip(newest.labels, newest.ids.tolist(), strict=True))
        pieces = (
            ([label if label in ids else None for label in frame["label"].to_list()], _matrix(frame))
            for frame in self._engine.rows(["label", VECTOR], where=chosen)
        )
        return gathered(pieces, ids, self.dim, self.metric)

    def some_of(
        self,
        label: str,
        count: int,
        where: Expression | str | None = None,
        *,
        without: Iterable[int] = (),
    ) -> np.ndarray:
        """Return the ids of the first ``count`` photos of a label that pass; see :meth:`Index.some_of`."""
        chosen: Expression = Comparison("label", "==", label)
        if where is not None:
            chosen = And((chosen, parse(where) if isinstance(where, str) else where))
        barred, found = set(without), []
        for frame in self._engine.rows([], where=self._visible(chosen)):
            found += [id_ for id_ in frame["id"].to_list() if id_ not in barred]
            if len(found) >= count:
                break
        return np.array(found[:count], dtype=np.int64)

    def leaving_others(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return none of ``ids``: the engine keeps every photo's vector."""
        return np.empty(0, dtype=np.int64)

    def vectors(self, ids: Sequence[int] | np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return ids and vectors; see :meth:`Index.vectors`."""
        wanted = None if ids is None else np.unique(whole_numbers(ids))
        frames = list(
            self._engine.rows([VECTOR], ids=wanted, where=self._visible(None) if ids is None else None)
        )
        held = np.concatenate([np.empty(0, np.int64), *(frame["id"].to_numpy() for frame in frames)])
        rows = np.concatenate([np.empty((0, self.dim), np.float32), *map(_matrix, frames)])
        if ids is None:
            return held, rows
        asked = whole_numbers(ids)
        refuse_missing(asked, np.isin(asked, held))
        return asked, rows[np.searchsorted(held, asked)]

    def rows(
        self, ids: Sequence[int] | np.ndarray | None = None, *, missing_ok: bool = False
    ) -> pl.DataFrame:
        """Return the catalog rows; see :meth:`Index.rows`."""
        names = [name for name in _FIELDS if name != "id"]
        if ids is None:
            return pl.concat([_EMPTY, *self._engine.rows(names, where=self._visible(None))])
        wanted = whole_numbers(ids)
        found = pl.concat([_EMPTY, *self._engine.rows(names, ids=wanted)])
        there = np.isin(wanted, found["id"].to_numpy())
        if missing_ok:
            wanted = wanted[there]
        else:
            refuse_missing(wanted, there)
        return pl.DataFrame({"id": wanted}).join(found, on="id", how="left", maintain_order="left")

    def paths(self) -> Iterator[tuple[int, str | None, str]]:
        """Yield id, root and path of the photos that have a path, by id."""
        for frame in self._engine.rows(["root", "path"], where=self._visible("path is not null")):
            yield from frame.select("id", "root", "path").iter_rows()

    def ids(self, where: Expression | str | None = None) -> np.ndarray:
        """Return the ids, int64 ascending, of all images or of those that pass a filter."""
        found = (frame["id"].to_numpy() for frame in self._engine.rows([], where=self._visible(where)))
        return np.concatenate([np.empty(0, np.int64), *found])

    def counts(
        self, column: str, where: Expression | str | None = None, *, most: int | None = None
    ) -> Counts:
        """Return how many images have each value of a column; see :meth:`Index.counts`."""
        check_counted(column)
        if column == "regions":
            return []
        found = Counter[str]()
        for frame in self._engine.rows([column], where=self._visible(where)):
            values = frame[column]
            if column in LISTS:
                values = values.list.unique().explode()
            found.update(values.drop_nulls().to_list())
        return sorted(found.items(), key=lambda item: (-item[1], item[0]))[:most]

    def category_paths(self) -> Paths:
        """Return each list of categories, root first, and how many images have it."""
        found = Counter[tuple[str, ...]]()
        for frame in self._engine.rows(["categories"], where=self._visible("categories is not null")):
            found.update(map(tuple, frame["categories"].to_list()))
        return sorted(found.items())

    def matches(
        self, terms: Sequence[Sequence[str]], where: Expression | str | None = None
    ) -> list[dict[int, float]]:
        """Return for each term the photos whose text has some word of it; see :meth:`Index.matches`."""
        with self._store.reading() as connection:
            found = words.matches(connection, terms)
        if where is None:
            return found
        passing = set(self._there(np.array(sorted(set().union(*found)), dtype=np.int64), where).tolist())
        return [{id_: score for id_, score in term.items() if id_ in passing} for term in found]

    def info(self) -> dict[str, Any]:
        """Return what the index is and holds; sizes are those of the folder, without the engine's."""
        with self._store.reading() as connection:
            (labels,) = connection.execute("SELECT count(DISTINCT label) FROM words").fetchone()
        return {
            **super().info(),
            "store": {**self._about, "search": self._engine.road},
            "identities": labels,
            "bytes_per_image": None,
            "bytes_per_identity": None,
            "tombstones": self._store.fact("removed"),
        }

    def verify(self) -> list[str]:
        """Read all of the index and return what is wrong with it, one line a problem."""
        from perisphere.index.stored_verification import verify

        with self._store.alone():
            self._settle_own()
            return verify(self._store, self._engine, self.dim, unit_rows=self.metric == "cosine")

    def compact(self) -> int:
        """Ask the engine to give back the space of removed rows, and return how many there were."""
        with self._store.alone():
            self._settle()
            self._engine.compact()
            removed = int(self._store.fact("removed"))
            self._store.set_facts(removed=0)
            self._store.tidy(vacuum=removed > 0)
        return removed

    def build(self, *, recall: float | None = None, seed: int = 0) -> dict[str, Any]:
        """Refuse: the engine searches as it was made to.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{self.folder}: is searched by {self._engine.road}; no recall can be asked for.")

    def near(self, vector: np.ndarray, threshold: float = THRESHOLD) -> list[tuple[int, float]]:
        """Return ``(id, cosine)`` of the near-duplicates of one new image; see :meth:`Index.near`."""
        query = clean(matrix(vector, self.dim, "vector"), "cosine")
        if len(query) != 1:
            raise PerisphereError(f"{len(query)} vectors were given: ask for one image at a time.")
        k, nothing = _NEAR, np.empty(0)
        near_duplicates(query[0], nothing.astype(np.int64), np.empty((0, self.dim), np.float32), threshold)
        while True:
            found = self.search(query, k, metric="cosine").at_least(threshold - 1e-4)
            if not len(found.ids[0]) or found.ids[0, -1] < 0 or k >= len(self):
                break
            k *= 8
        ids, vectors = self.vectors([id_ for id_, _ in found.results()])
        ids, scores = near_duplicates(query[0], ids, vectors, threshold)
        return list(zip(ids.tolist(), scores.tolist(), strict=True))

    def _visible(self, where: Expression | str | None) -> Expression | None:
        """Return a filter parsed, and with it the bound of what has been added whole."""
        chosen = parse(where) if isinstance(where, str) else where
        with self._store.reading() as connection:
            if read_fact(connection, "pending", None) != ADDING:
                return chosen
            bound = Comparison("id", "<=", int(read_fact(connection, "last_id", 0)))
        return bound if chosen is None else And((chosen, bound))

    def _there(self, ids: np.ndarray, where: Expression | str | None = None) -> np.ndarray:
        """Return those of the ascending ``ids`` that are there (and pass)."""
        found = [np.empty(0, np.int64)]
        if where is None:
            return np.concatenate(
                found + [frame["id"].to_numpy() for frame in self._engine.rows([], ids=ids)]
            )
        passes = parse(where) if isinstance(where, str) else where
        step = self._engine.window
        for start in range(0, len(ids), step):
            among = And((In("id", tuple(ids[start : start + step].tolist())), passes))
            found += [frame["id"].to_numpy() for frame in self._engine.rows([], where=among)]
        return np.concatenate(found)

    def _search_here(self, queries: np.ndarray, k: int, metric: str, where: Expression | None) -> exact.Found:
        pieces = (
            (frame["id"].to_numpy(), _matrix(frame)) for frame in self._engine.rows([VECTOR], where=where)
        )
        found = (piece for piece in pieces if len(piece[0]))
        return exact.search(found, queries, k, metric, normalised=self.metric == "cosine")

    def _labelled(self) -> Iterator[centroid_upkeep.Labelled]:
        for frame in self._engine.rows(["label", VECTOR]):
            yield frame["label"].to_list(), _matrix(frame)

    def _blocks(self, vectors: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield the rows as they are stored, block by block."""
        step = block_rows(self.dim)
        for start in range(0, len(vectors), step):
            part = slice(start, min(len(vectors), start + step))
            yield part, clean(vectors[part], self.metric, first=start)

    def _send(self, ids: np.ndarray, vectors: np.ndarray, table: pl.DataFrame) -> None:
        with patient_bar("adding", len(ids)) as advance:
            for part, block in self._blocks(vectors):
                self._engine.add(ids[part], block, table[part])
                advance(len(block))

    def _commit_added(
        self, ids: np.ndarray, vectors: np.ndarray, table: pl.DataFrame, identity: str | None
    ) -> None:
        with self._store.writing() as connection:
            self._check_encoder(connection, identity)
            if kept(connection) is not None:
                sums, labels = Sums(connection, self.dim), table["label"].to_list()
                for part, block in self._blocks(vectors):
                    sums.put(labels[part], block)
                sums.write()
            words.put(connection, ids, table)
            _count(connection, images=len(ids))
            write_fact(connection, "last_id", int(ids.max()))
            write_fact(connection, "pending", None)

    def _refuse_other_encoder(self, identity: str | None) -> None:
        with self._store.reading() as connection:
            if read_fact(connection, "encoder", None) is not None:
                self._check_encoder(connection, identity)

    def _refuse_stale(self, last: int) -> None:
        """Refuse to give ids above ``last`` again, which another copy of the folder has given."""
        if self._engine.count(Comparison("id", ">", last)):
            raise PerisphereError(
                f"{self.folder}: its collection holds photos with ids above {last}, the last that this "
                "folder gave: another copy of the folder has added them. Go on with that one."
            )

    def _place(self) -> str:
        """Return what tells this folder from its copies."""
        return f"{platform.node()}:{(self.folder / FILE).stat().st_ino}"

    def _settle(self) -> None:
        """Finish a removal that was begun, or take back an addition that was not finished."""
        pending = self._store.fact("pending")
        if pending is None:
            return
        if pending == ADDING:
            above = Comparison("id", ">", int(self._store.fact("last_id")))
            for ids in [frame["id"].to_numpy() for frame in self._engine.rows([], where=above)]:
                self._engine.remove(ids)
        else:
            self._engine.remove(np.array(pending, dtype=np.int64))
        self._store.set_facts(pending=None)

    def _settle_own(self) -> None:
        """Settle, unless this is a copy of a folder that was adding: that one may have finished."""
        if self._store.fact("pending") != ADDING or self._store.fact("adder") == self._place():
            self._settle()

    def _settle_if_alone(self) -> None:
        """Settle what a killed writer left. One that is at work is let be, and so is a read-only folder."""
        if self._store.fact("pending") is None:
            return
        try:
            with self._store.alone(timeout=0):
                self._settle_own()
        except PerisphereError as error:
            log.info("%s: an unfinished change is left for the next writer: %s", self.folder, error)


class _NoRegions(KeptRegions):
    """Regions are searched in SQLite, and the photos are not there."""

    def put(
        self, photos: Iterable[Segmented], concepts: Sequence[str], about: dict[str, Any], total: int
    ) -> int:
        raise PerisphereError(
            f"{self._store.folder}: its photos lie in Milvus, and such an index keeps no regions. Make one "
            "without --store."
        )


class _NoFiles(KeptFiles):
    """Files are compared with rows in SQLite, and the rows are not there."""

    def read(self) -> Iterator[Filed]:
        raise _no_files(self._store.folder)


@contextmanager
def engine_for(store: str | None, folder: Path, dim: int, metric: str) -> Iterator[dict[str, Any]]:
    """Make an empty store for a new index and yield the facts of it; it goes where the block fails.

    Args:
        store: the address, or ``None``: none is made, and there are no facts.
        folder: of the index, whose name shows in the store's.
        dim: values a vector.
        metric: of the index.
    """
    if store is None:
        yield {}
        return
    address = stores.Address.parse(store)
    name = re.sub(r"[^A-Za-z0-9]+", "_", folder.absolute().name)[:60]
    about = {
        "kind": "milvus",
        "address": address.seen_from(folder.absolute().parent),
        "collection": f"perisphere_{name}_{secrets.token_hex(8)}",
    }
    engine = stores.create(address, about["collection"], dim, metric)
    try:
        yield {"store": about, "format": STORES_FORMAT, **_NEW}
    except BaseException:
        engine.drop()
        raise
    finally:
        engine.close()


@contextmanager
def replaced(folder: Path, overwrite: bool) -> Iterator[None]:
    """Remove the store of an index that the block replaces, once it has."""
    engine = None
    if overwrite and (folder / FILE).is_file():
        old = SqliteFile(folder)
        try:
            about = old.fact("store")
            engine = about and stores.connect(
                about, folder.absolute().parent, int(old.fact("dim")), str(old.fact("metric"))
            )
        finally:
            old.close()
    try:
        yield
        if engine:
            engine.drop()
    finally:
        if engine:
            engine.close()


_NEW = {"images": 0, "removed": 0, "last_id": 0, "pending": None, "adder": None}
_EMPTY = pl.DataFrame(schema=_FIELDS)


def refuse_unable(metric: str, **unable: Any) -> None:
    """Refuse by name what an index over a store cannot have.

    Raises:
        UsageError: the metric L1, or any of ``unable`` that is asked for.
    """
    if metric == "l1":
        raise UsageError("the metric l1: Milvus knows no such distance. Use cosine or l2.")
    for name, asked in unable.items():
        if asked is not None:
            raise UsageError(f"{name}: an index over a store (--store) has none. Leave one of them out.")


def _no_files(folder: Path) -> PerisphereError:
    return PerisphereError(
        f"{folder}: its photos lie in Milvus, and such an index is not compared with a folder. Use "
        "`perisphere index add` and `remove`, or make one without --store."
    )


def _count(connection: sqlite3.Connection, **changes: int) -> None:
    for name, change in changes.items():
        write_fact(connection, name, int(read_fact(connection, name, 0)) + change)


def _matrix(frame: pl.DataFrame) -> np.ndarray:
    return frame[VECTOR].to_numpy()


def _nothing(queries: int, k: int) -> exact.Found:
    return exact.best([], queries, k)
